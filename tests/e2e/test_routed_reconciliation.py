"""Many searches, images and embeddings at once, good, failing and left: our ledger against the provider's book."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass

import msgspec
import trio

from scripts.simulator.book import Record
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, Json, until
from tests.e2e.settlement import MARK

pytestmark = ON_BOTH

CREDIT = 1_000_000
SEED = 7
ROUNDS = 4
#: Cues, and whether the client leaves half-way. None of them is a provider's fault that a breaker would count, but one.
ENDINGS = (
    ("", False),
    ("[first=30]", False),
    ("[mock=content_policy]", False),
    ("[mock=bad_request]", False),
    ("[mock=hang_headers]", True),
    ("[mock=hang_headers_after_accept]", True),
    ("[mock=hang_mid]", True),
    ("[mock=fail_once:{tag}]", False),
)
#: Surface -> its path, the request but for its words, and what one unit costs in micro-credits or micro-USD.
SURFACES: dict[str, tuple[str, Json, str]] = {
    "search": ("/v1/search", {"provider": "exa"}, "query"),
    "image": ("/v1/images/generations", {"model": "lucid-origin", "n": 2}, "prompt"),
    "embedding": ("/v1/embeddings", {"model": "bge-m3"}, "input"),
}
IMAGE_UCR = 8 * CREDIT
#: Micro-USD for a million tokens, times the credits for a dollar.
EMBEDDING = 12_000 * 100


@dataclass(frozen=True, slots=True)
class Spec:
    """One call of the crowd."""

    tag: str
    surface: str
    cue: str
    leaves: bool


def specs() -> list[Spec]:
    every = [
        Spec(f"r{number}{surface}{place}", surface, cue, leaves)
        for number in range(ROUNDS)
        for surface in SURFACES
        for place, (cue, leaves) in enumerate(ENDINGS)
    ]
    random.Random(SEED).shuffle(every)
    return every


async def make(caller: Caller, spec: Spec) -> None:
    path, fields, words = SURFACES[spec.surface]
    cue = spec.cue.format(tag=spec.tag)
    body = {**fields, words: f"a lamp [tag={spec.tag}] {cue}", f"{MARK}{spec.tag}": 1}
    if not spec.leaves:
        await caller.post(body, path)
        return
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.post, body, path)

            async def reached() -> bool:
                records = caller.house.book.records(spec.tag)
                began = [record.headers_sent or record.accepted for record in records]
                wanted = 2 if spec.surface == "image" else 1
                return len(began) == wanted and caller.house.book.now() > max(began) + 0.2

            await until(reached, within_s=10)
            scope.cancel()


def owed_ucr(spec: Spec, records: list[Record]) -> int:
    """What the provider's book says that the call is worth."""
    served = [record for record in records if record.outcome == "finished"]
    accepted = [record for record in records if record.headers_sent is not None and record.status == 200]
    if spec.surface == "image":
        return IMAGE_UCR * len(served)
    done = accepted[-1:] if spec.leaves else served
    if spec.surface == "search":
        return CREDIT * len(done)
    return sum(-(-(record.prompt_tokens or 0) * EMBEDDING // 1_000_000) for record in done)


async def test_the_ledger_and_the_providers_book_agree_to_the_unit(caller: Caller) -> None:
    every = specs()
    async with trio.open_nursery() as nursery:
        for spec in every:
            nursery.start_soon(make, caller, spec)
    books = await caller.settled()

    async def over() -> bool:
        return all(record.outcome is not None for record in caller.upstream())

    await until(over)
    by_tag: dict[str | None, list[Record]] = defaultdict(list)
    for record in caller.upstream():
        by_tag[record.tag].append(record)
    rows = caller.rows("SELECT charge, receipt FROM calls")
    charged = {_tag(str(receipt)): charge for charge, receipt in rows}
    wrong = {
        spec: (charged[spec.tag], owed)
        for spec in every
        if charged[spec.tag] != (owed := owed_ucr(spec, by_tag[spec.tag]))
    }
    assert wrong == {}
    assert len(rows) == len(charged) == len(every)
    assert books.charged == sum(owed_ucr(spec, by_tag[spec.tag]) for spec in every)


def _tag(receipt: str) -> str:
    (mark,) = [name for name in msgspec.json.decode(receipt)["ignored"] if name.startswith(MARK)]
    return str(mark).removeprefix(MARK)
