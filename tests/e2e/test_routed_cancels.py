"""A client that leaves while it waits for what is billed by the unit: one final row, its amount, a provider left.

The part of the cancel matrix (pains.md T2) for speech, search, images and embeddings, by rows B2, B4, B5 and B17 of the
settlement table, over real sockets.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

import pytest
import trio

from scripts.simulator.book import Record
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller
from tests.e2e.cancel_cells import WAYS
from tests.e2e.cancel_house import Matrix, open_matrix
from tests.e2e.leaving import leave
from tests.e2e.routed_cells import ALL, CELLS, LONG, PHASES, ROUTES, SPEAKS, Routed, why_not, words
from tests.e2e.settlement import Row, until
from tests.e2e.speaking import TRANSCRIPTIONS, asked, recording, transcribe
from tests.e2e.wire_clients import H1Client, H2Client

CREDIT: Final = 1_000_000
#: How a client leaves makes no difference to the database.
RUN_ON_ENGINES: Final = [
    *(("sqlite", *cell) for cell in CELLS),
    *(("postgresql", *cell) for cell in CELLS if cell[2] == "close"),
]


def test_every_cell_is_run_or_has_a_reason_why_it_cannot_exist() -> None:
    assert len(ALL) == len(ROUTES) * 5 * 4
    assert len(CELLS) == 5 * 4 * 3 + 5 * 3 + 1
    assert {why_not(*cell) for cell in ALL if cell not in CELLS}.isdisjoint({None, ""})


@pytest.mark.parametrize(
    ("database_url", "route", "phase", "way"),
    RUN_ON_ENGINES,
    ids=[" | ".join((engine, route.path, *cell)) for engine, route, *cell in RUN_ON_ENGINES],
    indirect=["database_url"],
)
async def test_a_client_that_leaves_is_charged_by_the_table_and_its_provider_is_closed(
    database_url: str, route: Routed, phase: str, way: str
) -> None:
    dice = random.Random(f"{route.path} {phase} {way}")
    warm = [route.question(f"warm{number}", "", model) for number, model in enumerate(route.models)]
    async with open_matrix(database_url, warm) as matrix:
        for number, model in enumerate(route.models[:2] if way == "stops reading" else route.models):
            with trio.fail_after(10):
                await Cell(matrix, route, phase, way, model, f"run{number}").run(dice.uniform(0.02, 0.1))
        await matrix.check_clean()


@dataclass(frozen=True, slots=True)
class Cell:
    """One call that is left in one phase in one way."""

    matrix: Matrix
    route: Routed
    phase: str
    way: str
    model: str
    tag: str

    @property
    def stuck(self) -> bool:
        return self.way == "stops reading"

    @property
    def cues(self) -> str:
        return LONG if self.stuck else PHASES[self.phase]

    async def run(self, pause_s: float) -> None:
        """`pause_s`: from when the provider has come so far to the hang-up; its head must have come here by then."""
        matrix, book = self.matrix, self.matrix.house.book
        client = await WAYS[self.way].connect(matrix.house.url)
        try:
            await client.ask(matrix.key, *self.route.question(self.tag, self.cues, self.model))
            if self.phase == "after its end":
                assert (await client.read_to_end()).status == 200
                assert matrix.ledger.row(client.answer.call_id or "").state == "posted"
            else:
                await until(lambda: any(map(self.reached, book.records(self.tag))))
                await trio.sleep(pause_s)
            left = await client.leave()
            record = await book.ended(self.tag)
            self.check(await matrix.ended(self.tag))
            if self.phase == "after its end":
                assert record.outcome == "finished"
            else:
                matrix.check_close(record, left, stuck=self.stuck)
            if isinstance(client, H2Client):
                assert (await client.get("/healthz")).status == 200
        finally:
            client.close()

    def reached(self, record: Record) -> bool:
        match self.phase:
            case "before upstream headers":
                return True
            case "before the first byte":
                return record.headers_sent is not None
            case "amid the answer":
                return record.first_byte is not None
            case _:
                return record.usage_sent is not None

    def check(self, row: Row) -> None:
        """Amount, basis, rule and phase by the settlement table."""
        route = self.route
        price = route.price(self.model, words(self.tag, self.cues))
        assert (row.endpoint, row.uncollected) == (route.path, 0)
        told = row.outcome, row.state, row.charge, row.rule, row.basis
        match self.phase:
            case "before upstream headers":
                assert told == ("cancelled", "voided", 0, "B2", "none")
                assert row.receipt["cancelled_at"] == "before acceptance"
            case "after its end":
                assert told[:4] == ("completed", "posted", price, route.finished)
                assert row.basis in ("provider_usage", "tokenizer_estimate")
                assert row.receipt.get("cancelled_at") is None
            case _:
                pays = route.accepted is not None
                charged = ("posted", price) if pays else ("voided", 0)
                assert told == ("cancelled", *charged, "B4", route.accepted or "none")
                heard = route is SPEAKS and self.phase != "before the first byte"
                assert row.receipt["cancelled_at"] == ("mid-answer" if heard else "before first token")


@ON_BOTH
async def test_a_client_that_leaves_pays_for_the_images_that_were_there(caller: Caller) -> None:
    """Two of three are done when it leaves."""
    body = {"model": "lucid-origin", "prompt": "a lamp [mock=hang_once:lamp]", "n": 3}
    done_at = 0.0

    def two_done(records: list[Record]) -> bool:
        nonlocal done_at
        if sum(record.outcome == "finished" for record in records) == 2:
            done_at = done_at or trio.current_time()
        return bool(done_at) and trio.current_time() > done_at + 0.05

    records = await leave(caller, "/v1/images/generations", body, two_done)
    assert endings(caller) == [("posted", "cancelled", 2 * 8 * CREDIT, "usage_snapshot", "B4")]
    assert sorted(str(record.outcome) for record in records) == ["finished", "finished", "peer_closed"]


def endings(caller: Caller) -> list[tuple[object, ...]]:
    return caller.rows("SELECT state, outcome, charge, basis, rule FROM calls")


@pytest.mark.parametrize("route", [route for route in ROUTES if route is not SPEAKS], ids=lambda route: route.path)
async def test_a_provider_that_does_not_end_its_connection_has_answered_all_the_same(
    caller: Caller, route: Routed
) -> None:
    body, path, content_type = route.question("t", "[mock=hang_after_done]", route.models[0])
    with trio.fail_after(3):
        assert (await caller.post(body, path, content_type=content_type)).status_code == 200
    ((_, outcome, charge, *_),) = endings(caller)
    assert (outcome, charge) == ("completed", route.price(route.models[0], words("t", "[mock=hang_after_done]")))


async def test_who_leaves_in_the_upload_has_asked_for_nothing(caller: Caller) -> None:
    client = await H1Client.connect(caller.house.url)
    head = (
        f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {caller.house.customer.key}"
        "\r\ncontent-type: multipart/form-data; boundary=x\r\ncontent-length: 5000000\r\n\r\n"
    )
    part = '--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    await client.send(head.encode() + part.encode() + recording(20_000))
    await trio.sleep(0.05)
    await client.leave()
    await trio.sleep(0.05)
    assert (asked(caller), caller.books().calls) == ([], 0)
    assert (await transcribe(caller)).status_code == 200
