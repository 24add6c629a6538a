"""Many uploads, sounds, searches, images and vectors at once, good, failing and left: our ledger against the book."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import httpx2
import pytest
import trio

from scripts.simulator.book import Record
from tests.e2e.calling import Caller, open_caller, until
from tests.e2e.crowd import Tireless
from tests.e2e.routed_cells import ROUTES, SPEAKS, Routed, words
from tests.e2e.settlement import FINAL, Row, open_ledger

SEED: Final = 7
#: How often each ending is met on each route.
ROUNDS: Final = {"sqlite": 3, "postgresql": 1}
AT_A_TIME: Final = 48
#: From when a provider is known to have come so far until its client leaves: its head must have come here by then.
PAUSE_S: Final = 0.2
GOOD: Final = ("", "[first=30]", "[mock=noisy_headers]", "[mock=fail_once:{tag}]")
FAULTS: Final = (
    *("content_policy", "bad_request", "500", "503", "401", "429", "html_500", "late_error:100"),
    *("error_200", "close_before_body", "eof_mid", "rst_mid"),
)
HANGS: Final = ("hang_headers", "hang_headers_after_accept", "hang_mid")
#: An answer of one body is over with its last byte; of a sound only its end is the end.
SOUND_HANGS: Final = (*HANGS, "hang_after_done")


@dataclass(frozen=True, slots=True)
class Spec:
    """One call of the crowd; who `leaves` does so in mid-answer, because the provider stops there."""

    tag: str
    route: Routed
    model: str
    cue: str
    leaves: bool

    @property
    def images(self) -> int | None:
        """How many are asked for, each a request of its own; one of two may fail."""
        return 2 if "images" in self.route.path else None


def specs(rounds: int) -> list[Spec]:
    every: list[Spec] = []
    for route in ROUTES:
        hangs = SOUND_HANGS if route is SPEAKS else HANGS
        endings = 2 * ([(cue, False) for cue in GOOD] + [(f"[mock={hang}]", True) for hang in hangs])
        endings += [(f"[mock={fault}]", False) for fault in FAULTS]
        for number, (cue, leaves) in enumerate(endings * rounds):
            tag = f"r{len(every)}"
            model = route.models[number % len(route.models)]
            every.append(Spec(tag, route, model, cue.format(tag=tag), leaves))
    random.Random(SEED).shuffle(every)
    return every


async def make(caller: Caller, spec: Spec, places: trio.CapacityLimiter) -> None:
    more = {} if spec.images is None else {"n": spec.images}
    body, path, content_type = spec.route.question(spec.tag, spec.cue, spec.model, **more)
    async with places, trio.open_nursery() as nursery:

        async def ask() -> None:
            with suppress(httpx2.RemoteProtocolError):  # how a sound breaks off
                await caller.post(body, path, content_type=content_type)

        nursery.start_soon(ask)
        if spec.leaves:
            await until(lambda: stopped(caller, spec), within_s=10)
            nursery.cancel_scope.cancel()


async def stopped(caller: Caller, spec: Spec) -> bool:
    """All providers have gone as far as they will, some time ago."""
    records = caller.house.book.records(spec.tag)
    reached = [record.first_byte or record.headers_sent or record.accepted for record in records]
    return len(reached) == (spec.images or 1) and caller.house.book.now() > max(reached) + PAUSE_S


def owed_ucr(spec: Spec, records: list[Record]) -> int:
    """What the provider's book says that the call is worth."""
    price = spec.route.price(spec.model, words(spec.tag, spec.cue))
    served = [record for record in records if record.outcome == "finished"]
    if spec.leaves and spec.route.accepted is not None:
        served = [record for record in records[-1:] if record.status == 200]
    return price * len(served)


@pytest.mark.parametrize("database_url", ROUNDS, indirect=True)
async def test_the_ledger_and_the_providers_book_agree_to_the_unit(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.main.Breakers", Tireless)
    every = specs(ROUNDS["sqlite" if database_url.startswith("sqlite") else "postgresql"])
    async with open_caller(database_url) as caller:
        await make_all(caller, every)
        records: defaultdict[str | None, list[Record]] = defaultdict(list)
        for record in caller.upstream():
            records[record.tag].append(record)
        with open_ledger(database_url) as ledger:
            rows = {str(row.tag): row for row in ledger.rows()}
            assert len(ledger.rows()) == len(rows) == len(every)
        wrong = [f"{spec}: {what}" for spec in every for what in differences(spec, rows[spec.tag], records[spec.tag])]
        report(every, rows, wrong)
        assert wrong == []
        assert caller.books().charged == sum(owed_ucr(spec, records[spec.tag]) for spec in every)


async def make_all(caller: Caller, every: list[Spec]) -> None:
    """Returns when each call is settled and each provider is done with it."""
    places = trio.CapacityLimiter(AT_A_TIME)
    async with trio.open_nursery() as nursery:
        for spec in every:
            nursery.start_soon(make, caller, spec, places)
    await caller.settled()

    async def over() -> bool:
        return all(record.outcome is not None for record in caller.upstream())

    await until(over, within_s=10)


def differences(spec: Spec, row: Row, records: list[Record]) -> list[str]:
    owed = owed_ucr(spec, records)
    outcome = "cancelled" if spec.leaves else ("failed" if "mock" in spec.cue and not owed else "completed")
    checks = {
        f"charged {row.charge} instead of {owed}": row.charge == owed,
        f"ended as {row.outcome}, {row.state}": row.outcome == outcome and row.state in FINAL,
        f"at {row.endpoint}": row.endpoint == spec.route.path,
        f"on the basis {row.basis}": (row.basis == "none") == (owed == 0),
    }
    return [what for what, is_right in checks.items() if not is_right]


def report(every: list[Spec], rows: dict[str, Row], wrong: list[str]) -> None:
    endings = Counter(f"{row.outcome} {row.rule}" for row in rows.values())
    print(
        f"\n{len(every)} calls of {len(ROUTES)} routes, {sum(spec.leaves for spec in every)} hang-ups; "
        f"{len(wrong)} differences\n{dict(sorted(endings.items()))}"
    )
