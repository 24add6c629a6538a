"""What is kept of a response depends on who has left it when: nothing before its end, all of it after."""

from __future__ import annotations

from typing import Final

import pytest
import trio

from tests.core.responses_order import check
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller
from tests.e2e.settlement import open_ledger, until

pytestmark = ON_BOTH

PATH: Final = "/v1/responses"
MODEL: Final = "kimi-k2.6"


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "body"])
async def test_nothing_is_stored_of_a_response_that_was_left(caller: Caller, streamed: bool) -> None:
    body = {"model": MODEL, "input": "[tag=left] [mock=hang_mid]", "stream": streamed}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, caller, body)
        await until(lambda: any(record.first_byte is not None for record in caller.upstream("left")))
        nursery.cancel_scope.cancel()
    with trio.fail_after(2):
        await caller.house.book.ended("left")
    assert (await caller.settled()).calls == 1
    assert caller.rows("SELECT id FROM responses") == []


async def ask(caller: Caller, body: dict[str, object]) -> None:
    if body["stream"]:
        async with caller.stream(body, PATH) as stream:
            await stream.rest()
    else:
        await caller.post(body, PATH)
    raise AssertionError("the call has ended by itself")


async def test_who_has_seen_the_end_has_been_charged_and_can_read_it_back(caller: Caller) -> None:
    async with caller.stream({"model": MODEL, "input": "[tokens=30]"}, PATH) as stream:
        seen = b""
        while b'"type":"response.completed"' not in seen or not seen.endswith(b"\n\n"):
            piece = await stream.piece()
            assert piece
            seen += piece
        final = check(seen).final
        with open_ledger(caller.house.settings.database_url) as ledger:
            row = ledger.row(final["id"])
        assert (row.state, row.rule) == ("posted", "B5")
        assert caller.rows("SELECT id FROM responses") == [(final["id"],)]
