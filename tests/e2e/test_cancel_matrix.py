"""A client may leave at any moment and in any way: one final row, the right amount, a closed provider, nothing left.

The part of the cancel matrix (pains.md T2) whose answers are tokens: chat, responses and messages, by rows B2 to B5 and
B10 of the settlement table, over real sockets.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

import pytest
import trio

from app.core.tokens import count_text
from app.providers import openrouter
from scripts.simulator.book import Record
from tests.e2e.cancel_cells import ALL, CELLS, MODELS, NO_SUCH_CELL, PACE, PHASES, SURFACE_CELLS, WAYS, Client
from tests.e2e.cancel_house import Matrix, open_matrix
from tests.e2e.settlement import Row, cost_ucr, question, tokens_charged, until, usage_cost_ucr
from tests.e2e.surfaces import CHAT, SURFACES, Surface
from tests.e2e.wire_clients import Ask, H1Client, H2Client

#: How long a token may lie in the sockets between provider and gateway; with `PACE` that bounds what nobody counted.
IN_SOCKETS_S: Final = 0.05
#: Models are what differs on the way to a provider, so chat leaves each of them.
RUNS: Final = 4
FEW_RUNS: Final = 2
WARM: Final = [Ask(question("warm", "[tokens=1]", model, stream=False)) for model in MODELS]
PREFIXES: Final = {"/v1/chat/completions": "chatcmpl-", "/v1/responses": "resp_"}
#: How a client leaves makes no difference to the database, nor where: on PostgreSQL two of chat's four ways are enough.
RUN_ON_ENGINES: Final = [
    *(("sqlite", *cell) for cell in SURFACE_CELLS),
    *(("postgresql", CHAT, *cell) for cell in CELLS if cell[2] in ("close", "stops reading")),
]


def test_every_cell_is_run_or_named_with_the_reason_why_it_cannot_exist() -> None:
    assert len(ALL) == 2 * 5 * 4
    assert set(NO_SUCH_CELL) <= set(ALL)
    assert all(NO_SUCH_CELL.values())
    assert len(CELLS) == 34
    unread = {(form, name, "stops reading") for name, phase in PHASES.items() for form in phase.unread}
    assert unread == {cell for cell in CELLS if cell[2] == "stops reading"}


def test_every_surface_is_left_in_every_phase_of_both_forms() -> None:
    left = {(surface.path, form, phase) for surface, form, phase, _ in SURFACE_CELLS}
    assert left == {(surface.path, form, phase) for surface in SURFACES for form, phase, _ in ALL}


@pytest.mark.parametrize(
    ("database_url", "surface", "form", "phase", "way"),
    RUN_ON_ENGINES,
    ids=[" | ".join((engine, surface.path, *cell)) for engine, surface, *cell in RUN_ON_ENGINES],
    indirect=["database_url"],
)
async def test_a_client_that_leaves_is_charged_by_the_table_and_its_provider_is_closed(
    database_url: str, surface: Surface, form: str, phase: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(openrouter.CANCEL, "simulated", "stops_billing")
    # A complete answer is soon ended without its mark; here the mark is waited for until the client has left.
    monkeypatch.setattr("app.providers.chat.END_S", 60.0)
    dice = random.Random(f"{surface.path} {form} {phase} {way}")
    runs = RUNS if surface is CHAT and way != "stops reading" else FEW_RUNS
    async with open_matrix(database_url, WARM) as matrix:
        for number, model in zip(range(runs), MODELS, strict=False):
            cell = Cell(matrix, surface, form, phase, way, model, dice)
            with trio.fail_after(10):
                await cell.run(f"run{number}", number)
        await matrix.check_clean()


@dataclass(slots=True)
class Cell:
    """One call that is left in one phase in one way."""

    matrix: Matrix
    surface: Surface
    form: str
    phase: str
    way: str
    model: str
    dice: random.Random

    @property
    def streamed(self) -> bool:
        return self.form == "stream"

    @property
    def stuck(self) -> bool:
        return self.way == "stops reading"

    async def run(self, tag: str, number: int) -> None:
        house, phase = self.matrix.house, PHASES[self.phase]
        cues = phase.unread[self.form] if self.stuck else phase.cues[number % len(phase.cues)]
        client = await WAYS[self.way].connect(house.url, self.surface)
        try:
            question = self.surface.question(tag, cues, self.model, stream=self.streamed)
            await client.ask(self.matrix.key, question)
            record = await self.reach(tag, client)
            left = await client.leave()
            record = await house.book.ended(tag)
            row = await self.matrix.ended(tag)
            self.check(row, record)
            if self.phase == "mid-stream":
                self.check_cut(row, record, client, left)
            self.check_close(record, left)
            if isinstance(client, H2Client):
                assert (await client.get("/healthz")).status == 200
        finally:
            client.close()

    async def reach(self, tag: str, client: Client) -> Record:
        """Wait until the call is in its phase, at a random moment of it."""
        book = self.matrix.house.book
        await until(lambda: any(self.reached(record) for record in book.records(tag)))
        (record,) = book.records(tag)
        if self.stuck:
            return record
        if self.phase == "after the terminal event":
            assert (await client.read_to_end()).saw_end
            # The client knows that its call is over: it has been charged (design.md invariant 5).
            assert self.matrix.ledger.row(client.answer.call_id or "").state == "posted"
        elif self.streamed and self.phase in {"mid-stream", "before the terminal event"}:
            await client.read()
        await trio.sleep(0 if client.answer.saw_end else self.dice.uniform(0.02, 0.15))
        return record

    def reached(self, record: Record) -> bool:
        match self.phase:
            case "before upstream headers":
                return True
            case "before the first token":
                return record.headers_sent is not None
            case "mid-stream":
                return record.tokens_sent >= 3
            case "before the terminal event":
                return record.tokens_sent >= 30 if "no_usage" in record.triggers else record.usage_sent is not None
            case _:
                return record.usage_sent is not None

    def check(self, row: Row, record: Record) -> None:
        """Amount, basis, rule and phase by the settlement table."""
        phase = PHASES[self.phase]
        assert (row.outcome, row.receipt.get("cancelled_at")) == (phase.outcome, phase.cancelled_at)
        assert row.id.startswith(PREFIXES.get(self.surface.path, "msg_"))
        assert (row.endpoint, row.uncollected) == (self.surface.path, 0)
        prompt = record.prompt_tokens or 0
        cut_rule = MODELS[self.model]
        known = row.state, row.basis, row.rule
        match self.phase:
            case "before upstream headers":
                assert (*known, row.charge) == ("voided", "none", "B2", 0)
            case "before the first token":
                # Nobody has named the provider behind OpenRouter yet: its cancel counts as unknown.
                assert known == ("posted", "tokenizer_estimate", "B4")
                assert row.charge == cost_ucr(self.model, prompt, 0)
            case "mid-stream":
                assert known == ("posted", "tokenizer_estimate", cut_rule)
            case "before the terminal event" if "no_usage" in record.triggers:
                assert known == ("posted", "tokenizer_estimate", cut_rule)
                assert row.charge == cost_ucr(self.model, prompt, record.tokens_sent)
            case "before the terminal event":
                assert record.usage_sent is not None
                assert known == ("posted", "provider_usage", "B10")
                assert row.charge == usage_cost_ucr(self.model, record.usage_sent)
            case _:
                assert record.usage_sent is not None
                assert known == ("posted", "provider_usage", "B5")
                assert row.charge == usage_cost_ucr(self.model, record.usage_sent)

    def check_cut(self, row: Row, record: Record, client: Client, left: float) -> None:
        """No more than the provider sent, no less than the client has; and all but what was under way."""
        charged = tokens_charged(row, record.prompt_tokens or 0)
        assert charged is not None
        assert count_text(client.answer.text()) <= charged <= record.tokens_sent
        if "hang_mid" in record.triggers:
            assert charged == record.tokens_sent == 3
        elif not self.stuck:
            under_way = PACE * (IN_SOCKETS_S + self.matrix.close_lag_s(record, left)) + 1
            assert record.tokens_sent - charged <= under_way

    def check_close(self, record: Record, left: float) -> None:
        if self.phase == "after the terminal event":
            assert record.outcome == ("peer_closed" if "hang_after_done" in record.triggers else "finished")
        else:
            self.matrix.check_close(record, left, stuck=self.stuck)


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "body"])
@pytest.mark.parametrize("fault", ["close_before_body", "bad_first_chunk", "error_200"])
async def test_a_client_that_leaves_between_two_attempts_owes_nothing_for_the_failed_one(
    fault: str, streamed: bool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.usecases.chat.BACK_OFF_S", (0.2, 0.2))
    async with open_matrix(database_url, WARM) as matrix:
        house = matrix.house
        client = await H1Client.connect(house.url)
        await client.ask(
            house.customer.key, question("once", f"[mock={fault}] [tokens=30]", "kimi-k2.6", stream=streamed)
        )
        await house.book.ended("once")
        await trio.sleep(0.05)
        await client.leave()
        await until(lambda: not matrix.ledger.rows("state = 'held'"))
        (row,) = [row for row in matrix.ledger.rows() if row.tag == "once"]
        assert len(house.book.records("once")) == 1
        assert (row.outcome, row.state, row.charge, row.basis, row.rule) == ("cancelled", "voided", 0, "none", "B2")
        assert matrix.ledger.broken() == []
