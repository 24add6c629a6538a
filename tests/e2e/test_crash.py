"""kill -9 at any moment: nothing is charged twice, what a client has whole is charged, and the rest is free."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
from h2.settings import SettingCodes

from app.core.identity import now_us
from app.core.tokens import count_text
from app.storage import keys
from app.storage.database import Transaction
from app.storage.keys import KeySettings
from tests.books import faults, open_holds
from tests.databases import ON_BOTH, elsewhere, open_view, write_locked
from tests.e2e.process import GatewayProcess, open_gateway_process
from tests.e2e.settlement import usage_cost_ucr
from tests.e2e.wire_clients import JSON, Answer, H1Client, H2Client
from tests.house import SECRET, Ground, open_ground

pytestmark = ON_BOTH

#: How many on SQLite; half as many on PostgreSQL.
KILLS: Final = int(os.environ.get("CRASH_KILLS", "8"))
SEED: Final = int(os.environ.get("CRASH_SEED", "1"))
CLIENTS: Final = 24
#: A provider call may take as long as TOTAL_S; a hold outlives it, and the sweeper looks often.
TIMES: Final[dict[str, Any]] = {"total_s": 4.0, "hold_s": 5.0, "sweep_s": 0.1}
MODELS: Final = ("kimi-k2.6", "kimi-k2.5-fast", "sarvam-30b")
BRIEF_S: Final = 0.02


@dataclass
class Town:
    """The clients of a gateway that dies again and again; `url` is None while it is down."""

    ground: Ground
    url: str | None = None
    up: trio.Event = field(default_factory=trio.Event)
    asked: int = 0
    cut: int = 0
    #: What each client has whole: the call's id and the tag of its prompt.
    complete: dict[str, str] = field(default_factory=dict)

    def opened(self, url: str) -> None:
        self.url = url
        self.up.set()

    def went_down(self) -> None:
        self.url, self.up = None, trio.Event()

    async def live(self, chance: random.Random) -> None:
        """Ask for ever, streamed and not, whatever becomes of the answers."""
        while True:
            if self.url is None:
                await self.up.wait()
                continue
            self.asked += 1
            tag = f"call{self.asked}"
            text = f"[tag={tag}] [tokens={chance.randrange(2, 60)}] [pace={chance.choice([0, 60, 200])}] hello"
            body = question(text, chance.choice(MODELS), stream=chance.random() < 0.6)
            answer = await ask(self.url, self.ground.customer.key, body)
            if answer.saw_end and answer.call_id is not None:
                self.complete[answer.call_id] = tag
            else:
                self.cut += 1


def question(text: str, model: str, *, stream: bool) -> bytes:
    return msgspec.json.encode({"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]})


async def ask(url: str, key: str, body: bytes) -> Answer:
    """What came of one call, up to the moment when the gateway died or the answer ended."""
    try:
        client = await H1Client.connect(url)
    except OSError:
        return Answer()
    with closing(client):
        try:
            await client.ask(key, body)
        except OSError:
            return client.answer
        return await client.read_to_end()


@asynccontextmanager
async def open_town(url: str, **settings: Any) -> AsyncIterator[Town]:
    async with open_ground(url, **TIMES, **settings) as ground:
        yield Town(ground)


def books(ground: Ground) -> AbstractContextManager[Transaction]:
    return open_view(ground.settings.database_url)


async def holds_are_freed(ground: Ground) -> None:
    """Wait until the sweeper of a running gateway has ended what dead ones left behind."""
    with trio.fail_after(TIMES["hold_s"] + 5), books(ground) as db:
        while open_holds(db):  # noqa: ASYNC110 - the books tell nobody
            await trio.sleep(BRIEF_S)


async def kill_at_random(town: Town, kills: int, tmp_path: Path, chance: random.Random) -> None:
    """Kill the gateway again and again while all of the town calls; let the last one drain."""
    async with trio.open_nursery() as nursery:
        for _ in range(CLIENTS):
            nursery.start_soon(town.live, chance)
        for _ in range(kills):
            async with open_gateway_process(town.ground.settings, tmp_path / "gateway.log") as gateway:
                town.opened(gateway.url)
                await trio.sleep(chance.uniform(0.1, 1.2))
                town.went_down()
                await gateway.end(signal.SIGKILL)
        nursery.cancel_scope.cancel()


async def test_after_any_number_of_kills_every_call_has_one_end_and_every_whole_answer_is_charged(
    tmp_path: Path, database_url: str
) -> None:
    began = time.monotonic()
    kills = KILLS if database_url.startswith("sqlite") else KILLS // 2
    async with open_town(database_url) as town:
        await kill_at_random(town, kills, tmp_path, random.Random(SEED))
        async with open_gateway_process(town.ground.settings, tmp_path / "gateway.log") as gateway:
            await holds_are_freed(town.ground)
            assert await gateway.end(signal.SIGTERM) == 0
    with books(town.ground) as db:
        wrong = faults(db)
        rows = {row[0]: row[1:] for row in db.all("SELECT id, state, outcome, charge, rule, model FROM calls")}
    ends = Counter(f"{state} {outcome}" for state, outcome, *_ in rows.values())
    differences = list(unlike_the_book(town, rows))
    print(
        f"\n{kills} kills with {CLIENTS} clients (seed {SEED}): {town.asked} asked, {len(rows)} admitted, "
        f"{len(town.complete)} complete, {town.cut} cut, ends {dict(ends)}, {len(differences)} differences, "
        f"{time.monotonic() - began:.0f} s"
    )
    assert wrong == {}
    assert differences == []
    interrupted = [row for row in rows.values() if row[1] == "interrupted"]
    assert all(row[:4] == ("expired", "interrupted", 0, "B13") for row in interrupted)
    assert len(interrupted) == ends["expired interrupted"] >= kills
    assert len(town.complete) > CLIENTS


def unlike_the_book(town: Town, rows: dict[str, tuple[Any, ...]]) -> Iterator[str]:
    """Where the ledger, the clients and the providers' book disagree."""
    book = town.ground.book
    for call_id, tag in town.complete.items():
        state, outcome, charge, _, model = rows.get(call_id, (None,) * 5)
        if (state, outcome) != ("posted", "completed"):
            yield f"{call_id} was received whole and is {state}, {outcome}"
            continue
        usage = book.records(tag)[-1].usage_sent
        if usage is None or charge != usage_cost_ucr(model, usage):
            yield f"{call_id} was charged {charge}, the provider says {usage}"
    tags = {record.tag for record in book.records() if record.tag}
    if len(tags) > len(rows):
        yield f"{len(tags)} calls reached a provider and {len(rows)} were admitted"


class ShutClient(H2Client):
    """Reads headers and takes not one byte of a body: its flow control window is shut."""

    async def ask(self, key: str, body: bytes, path: str | None = None, content_type: str = JSON) -> None:
        self._http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        await super().ask(key, body, path, content_type)


@dataclass
class Stage:
    """One call with a key of its own, stopped at one point of its way."""

    text: str
    model: str = "kimi-k2.6"
    stream: bool = True
    client: type[H1Client | H2Client] = H1Client
    #: What the client must have seen before the kill.
    sees: bytes = b""


CHUNK = b'data: {"id":"up","object":"chat.completion.chunk","created":1,"model":"m","choices":[%s]%s}\n\n'
USAGE = b',"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}'
FINISHED = (
    CHUNK % (b'{"index":0,"delta":{"role":"assistant","content":"all there is"},"finish_reason":null}', b"")
    + CHUNK % (b'{"index":0,"delta":{},"finish_reason":"stop"}', b"")
    + CHUNK % (b"", USAGE)
)

STAGES: Final = {
    "the hold is committed and the provider silent": Stage("[mock=hang_headers]"),
    "the provider has accepted": Stage("[mock=hang_headers_after_accept]"),
    "the first tokens are with the client": Stage("[mock=hang_mid]", sees=b'"content":" '),
    "usage has been seen": Stage("hi", "kimi-k2.5-fast", sees=b"all there is"),
    "settled, and not one byte of the answer is out": Stage("[tokens=20]", stream=False, client=ShutClient),
}
LATE: Final = "everything is with the client but the end, and the settle waits"


async def serve_up_to_usage(stream: trio.SocketStream) -> None:
    """A provider that says everything, usage too, and then neither `[DONE]` nor goodbye."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    async with stream:
        await stream.receive_some()
        await stream.send_all(head + b"%x\r\n%s\r\n" % (len(FINISHED), FINISHED))
        await trio.sleep_forever()


def add_keys(ground: Ground, names: list[str]) -> dict[str, tuple[str, str]]:
    """(id, key) by name, all of the ground's tenant."""

    def create(db: Transaction) -> dict[str, tuple[str, str]]:
        tenant = ground.customer.tenant_id
        return {name: keys.create_key(db, tenant, SECRET.encode(), KeySettings(name), now_us()) for name in names}

    return elsewhere(ground.settings.database_url, create)


async def reach(stage: Stage, url: str, key: str) -> H1Client | H2Client:
    """Bring a call to its stage and leave it there, its connection open."""
    client = await stage.client.connect(url)
    await client.ask(key, question(stage.text, stage.model, stream=stage.stream))
    if stage.sees or stage.client is ShutClient:
        while stage.sees not in client.answer.body or client.answer.status is None:
            assert await client.read()
    return client


async def until(db: Transaction, sql: str, wanted: object, *values: str) -> None:
    """Wait for a query's one value."""
    with trio.fail_after(5):
        while (db.one(sql, *values) or (None,))[0] != wanted:  # noqa: ASYNC110 - the books tell nobody
            await trio.sleep(BRIEF_S)


async def test_a_kill_at_each_step_of_a_call_leaves_what_that_step_had_settled(
    tmp_path: Path, database_url: str
) -> None:
    clients: dict[str, H1Client | H2Client] = {}
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve_up_to_usage, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        async with open_town(database_url, fast_base_url=f"http://127.0.0.1:{port}/v1") as town:
            ground = town.ground
            made = add_keys(ground, [*STAGES, LATE])
            async with open_gateway_process(ground.settings, tmp_path / "gateway.log") as gateway:
                for name, stage in STAGES.items():
                    clients[name] = await reach(stage, gateway.url, made[name][1])
                with books(ground) as db:
                    await until(db, "SELECT COUNT(*) FROM calls", len(STAGES))
                    clients[LATE] = await settle_against_a_lock(ground, gateway, made[LATE][1])
            async with open_gateway_process(ground.settings, tmp_path / "gateway.log"):
                await holds_are_freed(ground)
        nursery.cancel_scope.cancel()
    with books(ground) as db:
        assert faults(db) == {}
        ends: dict[str, str] = dict(
            db.all("SELECT k.name, c.state || ' ' || c.outcome FROM calls c JOIN api_keys k ON k.id = c.key_id")
        )
        charges = db.one("SELECT COUNT(*), -SUM(amount) FROM ledger_entries WHERE kind = 'charge'")
        paid = db.one("SELECT charge FROM calls WHERE state = 'posted'")
    settled = "settled, and not one byte of the answer is out"
    assert ends == {name: "posted completed" if name == settled else "expired interrupted" for name in [*STAGES, LATE]}
    assert charges == (1, *(paid or ()))
    answers = {name: await client.read_to_end() for name, client in clients.items()}
    assert not any(answer.saw_end for answer in answers.values())
    assert (answers[settled].status, bytes(answers[settled].body)) == (200, b"")
    for client in clients.values():
        client.close()


async def settle_against_a_lock(ground: Ground, gateway: GatewayProcess, key: str) -> H1Client:
    """Bring a call to the point where its provider is done and its settle waits for the database; kill there."""
    client = await H1Client.connect(gateway.url)
    await client.ask(key, question("[tag=late] [tokens=10] [pace=20]", "kimi-k2.6", stream=True))
    while b'"content":" ' not in client.answer.body:
        assert await client.read()
    with write_locked(ground.settings.database_url, ground.customer.tenant_id):
        await ground.book.ended("late")
        while count_text(client.answer.text()) < 10:
            assert await client.read()
        await gateway.end(signal.SIGKILL)
    return client
