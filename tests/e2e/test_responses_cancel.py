"""A client of `/v1/responses` may leave at any moment: one final row, the right amount, a closed provider, no rest."""

from __future__ import annotations

from typing import Final

import pytest
import trio

from scripts.simulator.book import Record
from tests.core.responses_order import check
from tests.e2e.calling import Caller, open_caller
from tests.e2e.cancel_cells import PHASES
from tests.e2e.settlement import Row, cost_ucr, open_ledger, tokens_charged, until, usage_cost_ucr

PATH: Final = "/v1/responses"
MODEL: Final = "kimi-k2.6"
CLOSE_S: Final = 0.05
LEFT_EARLY: Final = [phase for phase in PHASES if phase != "after the terminal event"]


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "body"])
@pytest.mark.parametrize("phase", LEFT_EARLY)
async def test_a_client_that_leaves_is_charged_by_the_table_and_nothing_is_stored(
    phase: str, streamed: bool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.providers.chat.END_S", 60.0)
    async with open_caller(database_url) as caller:
        book = caller.house.book
        with open_ledger(database_url) as ledger:
            body = {"model": MODEL, "input": f"[tag=cell] {PHASES[phase].cues[0]} Tell me.", "stream": streamed}
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, caller, body)
                await until(lambda: any(reached(phase, record) for record in book.records("cell")))
                await trio.sleep(0.1)
                left = trio.current_time()
                nursery.cancel_scope.cancel()
            record = await book.ended("cell")
            await until(lambda: not ledger.rows("state = 'held'"))
            (row,) = ledger.rows()
            check_row(phase, row, record)
            assert record.outcome == "peer_closed"
            assert record.close_seen is not None
            assert book.begin() + record.close_seen - left <= CLOSE_S
            assert ledger.broken() == []
        assert caller.rows("SELECT id FROM responses") == []


async def ask(caller: Caller, body: dict[str, object]) -> None:
    if body["stream"]:
        async with caller.stream(body, PATH) as stream:
            await stream.rest()
    else:
        await caller.post(body, PATH)
    raise AssertionError("the call has ended by itself")


def reached(phase: str, record: Record) -> bool:
    match phase:
        case "before upstream headers":
            return True
        case "before the first token":
            return record.headers_sent is not None
        case "mid-stream":
            return record.tokens_sent >= 3
    return record.usage_sent is not None


def check_row(phase: str, row: Row, record: Record) -> None:
    assert row.id.startswith("resp_")
    assert (row.outcome, row.receipt["cancelled_at"]) == (PHASES[phase].outcome, PHASES[phase].cancelled_at)
    prompt = record.prompt_tokens or 0
    told = row.state, row.basis, row.rule
    match phase:
        case "before upstream headers":
            assert (*told, row.charge) == ("voided", "none", "B2", 0)
        case "before the first token":
            assert (*told, row.charge) == ("posted", "tokenizer_estimate", "B4", cost_ucr(MODEL, prompt, 0))
        case "mid-stream":
            assert told == ("posted", "tokenizer_estimate", "B4")
            assert tokens_charged(row, prompt) == record.tokens_sent == 3
        case _:
            assert record.usage_sent is not None
            assert (*told, row.charge) == ("posted", "provider_usage", "B10", usage_cost_ucr(MODEL, record.usage_sent))


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
