"""One key, whatever happens to the first request: fifty at once, two processes, hang-ups, kills. One charge, ever."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import msgspec
import pytest
import trio
from h2.settings import SettingCodes

from app.storage.database import Transaction
from tests.books import faults
from tests.databases import ON_BOTH, open_view, write_locked
from tests.e2e.calling import CHAT, Caller, open_caller, question
from tests.e2e.keyed import HEADER, KEY, code, is_replay
from tests.e2e.process import open_gateway_process
from tests.e2e.wire_clients import H2Client
from tests.house import Ground, open_ground

pytestmark = ON_BOTH

AT_ONCE: Final = 50
#: A hold outlives the calls of these tests, and not by much.
HOLD_S: Final = 3.0
TIMES: Final[dict[str, Any]] = {"hold_s": HOLD_S, "sweep_s": 0.1, "total_s": 30.0}
BRIEF_S: Final = 0.02
HELD: Final = "[tag=held] [mock=hang_once:held] [tokens=3]"
LATE: Final = "[tag=late] [tokens=10] [pace=20]"
SETTLED: Final = "[tag=settled] [tokens=20]"


@dataclass(frozen=True, slots=True)
class Shop:
    """A ground, and a client that asks any gateway on it."""

    ground: Ground
    http: httpx2.AsyncClient

    async def ask(self, url: str, text: str, key: str = KEY) -> httpx2.Response:
        return await self.http.post(f"{url}{CHAT}", json=question(text), headers={HEADER: key})

    async def ask_in_vain(self, url: str, text: str, key: str) -> None:
        """Of a gateway that will die."""
        with suppress(httpx2.TransportError):
            await self.ask(url, text, key)

    async def ask_until_answered(self, url: str, text: str, key: str) -> httpx2.Response:
        """As an SDK does, until the first request is known to have come to its end."""
        with trio.fail_after(HOLD_S + 10):
            while code(reply := await self.ask(url, text, key)) == "idempotency_in_progress":  # noqa: ASYNC110
                await trio.sleep(BRIEF_S)
        return reply

    async def until(self, sql: str, wanted: object, *values: str) -> None:
        with trio.fail_after(10), open_view(self.ground.settings.database_url) as db:
            while (db.one(sql, *values) or (None,))[0] != wanted:  # noqa: ASYNC110 - the books tell nobody
                await trio.sleep(BRIEF_S)


@asynccontextmanager
async def open_shop(database_url: str) -> AsyncIterator[Shop]:
    async with open_ground(database_url, **TIMES) as ground:
        headers = {"authorization": f"Bearer {ground.customer.key}"}
        async with httpx2.AsyncClient(headers=headers, timeout=30, limits=httpx2.Limits(max_connections=None)) as http:
            yield Shop(ground, http)


def charged(db: Transaction) -> int:
    ((count,),) = db.all("SELECT COUNT(*) FROM ledger_entries WHERE kind = 'charge'")
    return int(count)


async def test_of_fifty_at_once_at_two_processes_one_runs_and_is_charged(database_url: str, tmp_path: Path) -> None:
    text = "[tag=one] [first=300] [tokens=3]"
    replies: list[httpx2.Response] = []

    async def ask(shop: Shop, url: str) -> None:
        replies.append(await shop.ask(url, text))

    async with open_shop(database_url) as shop, AsyncExitStack() as stack:
        opened = [open_gateway_process(shop.ground.settings, tmp_path / f"{name}.log") for name in ("one", "two")]
        urls = [(await stack.enter_async_context(each)).url for each in opened]
        async with trio.open_nursery() as nursery:
            for number in range(AT_ONCE):
                nursery.start_soon(ask, shop, urls[number % 2])
        again = [await shop.ask_until_answered(url, text, KEY) for url in urls]
        with open_view(database_url) as db:
            assert (charged(db), faults(db)) == (1, {})
    first = [reply for reply in replies if reply.status_code == 200 and not is_replay(reply)]
    assert {code(reply) for reply in replies} <= {None, "idempotency_in_progress"}
    assert (len(first), len(shop.ground.book.records("one"))) == (1, 1)
    assert {reply.content for reply in again} == {first[0].content}


async def leave(caller: Caller, text: str, blocks: int) -> str:
    """Ask for a stream with the key, read so many blocks and hang up; the call's id, once it has ended."""
    async with caller.stream(question(text), idempotency_key=KEY) as stream:
        for _ in range(blocks):
            await anext(stream)
        call_id = dict(stream.headers)["x-generation-id"]
    await caller.settled()
    return call_id


async def test_a_call_cut_off_by_its_client_stays_charged_and_never_runs_again(caller: Caller) -> None:
    text = "[tag=cut] [pace=50] [tokens=200]"
    call_id = await leave(caller, text, 4)
    before = caller.books()
    assert before.charged > 0
    for _ in range(2):
        reply = await caller.post({**question(text), "stream": True}, idempotency_key=KEY)
        assert (reply.status_code, code(reply)) == (409, "idempotency_key_reused")
        assert f"{call_id} of this key was cut off" in reply.json()["error"]["message"]
    assert (caller.books(), len(caller.upstream("cut"))) == (before, 1)


async def test_a_client_that_leaves_before_a_provider_has_accepted_leaves_its_key_free(caller: Caller) -> None:
    for asked in (1, 2):
        await leave(caller, "[tag=early] [mock=hang_headers]", 1)
        assert len(caller.upstream("early")) == asked
    assert caller.books().charged == 0


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/responses"])
async def test_an_answer_that_could_not_be_charged_in_time_is_an_error_and_the_repeat_runs(
    database_url: str, path: str
) -> None:
    async with open_caller(database_url, database_deadline_s=0.2, settle_s=0.4, sweep_s=0.1) as caller:
        named = {"input": LATE} if path == "/v1/responses" else question(LATE, max_tokens=50)
        body = {"model": "kimi-k2.6", **named, "stream": True}
        async with caller.stream(body, path, idempotency_key=KEY) as stream:
            await anext(stream)
            await anext(stream)
            with write_locked(database_url, caller.house.customer.tenant_id):
                await caller.house.book.ended("late")
                events = await stream.events()
        assert "could not be accounted for" in events[-1].text
        await caller.settled()
        reply = await caller.post(body, path, idempotency_key=KEY)
        assert (reply.status_code, is_replay(reply)) == (200, False)
        assert (caller.books().calls, len(caller.upstream("late"))) == (2, 2)
        assert len(caller.rows("SELECT 1 FROM ledger_entries WHERE kind = 'charge'")) == 1


class KeyedShutClient(H2Client):
    """Sends a key and takes not one byte of a body: its flow control window is shut."""

    async def ask_shut(self, customer_key: str, body: bytes, key: str) -> None:
        self._http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        headers = [("authorization", f"Bearer {customer_key}"), ("content-length", str(len(body))), (HEADER, key)]
        await self._request("POST", CHAT, headers, body)


async def test_a_kill_at_any_step_leaves_one_charge_and_the_answer_or_a_key_that_is_free(
    database_url: str, tmp_path: Path
) -> None:
    async with open_shop(database_url) as shop, trio.open_nursery() as nursery:
        ground = shop.ground
        async with open_gateway_process(ground.settings, tmp_path / "gateway.log") as gateway:
            client = await KeyedShutClient.connect(gateway.url)
            await client.ask_shut(ground.customer.key, msgspec.json.encode(question(SETTLED)), "settled")
            await shop.until("SELECT COUNT(*) FROM calls WHERE state = 'posted'", 1)
            nursery.start_soon(shop.ask_in_vain, gateway.url, HELD, "held")
            nursery.start_soon(shop.ask_in_vain, gateway.url, LATE, "late")
            await shop.until("SELECT COUNT(*) FROM calls WHERE state = 'held'", 2)
            with write_locked(database_url, ground.customer.tenant_id):
                await ground.book.ended("late")
                await gateway.end(signal.SIGKILL)
        client.close()
        async with open_gateway_process(ground.settings, tmp_path / "gateway.log") as gateway:
            settled = await shop.ask(gateway.url, SETTLED, "settled")
            held = await shop.ask(gateway.url, HELD, "held")
            answers = [await shop.ask_until_answered(gateway.url, *each) for each in ((HELD, "held"), (LATE, "late"))]
            with open_view(database_url) as db:
                assert (charged(db), faults(db)) == (3, {})
    assert (settled.status_code, is_replay(settled), len(ground.book.records("settled"))) == (200, True, 1)
    assert code(held) == "idempotency_in_progress"
    assert [(reply.status_code, is_replay(reply)) for reply in answers] == [(200, False), (200, False)]
    assert [len(ground.book.records(tag)) for tag in ("held", "late")] == [2, 2]
