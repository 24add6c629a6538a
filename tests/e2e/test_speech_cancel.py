"""A client may leave while it uploads, waits or listens: one final row, the amount of the table, a closed provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pytest
import trio

from scripts.simulator.book import Record
from tests.e2e.calling import Caller, Json
from tests.e2e.settlement import Row, open_ledger, until
from tests.e2e.speaking import SPEECH, asked, hearing_ucr, recording, say, speaking_ucr, transcribe
from tests.e2e.wire_clients import H1Client

CLOSE_S: Final = 0.05
WORDS: Final = "Good morning, everyone. Today we talk about the weather."


@dataclass(frozen=True, slots=True)
class Cell:
    """Where the provider is made to stop, and what the row must say of a client that leaves there."""

    cues: str
    outcome: str
    state: str
    rule: str
    cancelled_at: str | None
    pays: bool


HEARD: Final = {
    "before upstream headers": Cell("[mock=hang_headers]", "cancelled", "voided", "B2", "before acceptance", False),
    "before the text": Cell(
        "[mock=hang_headers_after_accept]", "cancelled", "posted", "B4", "before first token", True
    ),
    "in the text": Cell("[mock=hang_mid]", "cancelled", "posted", "B4", "before first token", True),
}
SAID: Final = {
    "before upstream headers": Cell("[mock=hang_headers]", "cancelled", "voided", "B2", "before acceptance", False),
    "before the first sound": Cell(
        "[mock=hang_headers_after_accept]", "cancelled", "posted", "B4", "before first token", True
    ),
    "mid-sound": Cell("[mock=hang_mid]", "cancelled", "posted", "B4", "mid-answer", True),
    "after the last sound, before its end": Cell(
        "[mock=hang_after_done]", "cancelled", "posted", "B4", "mid-answer", True
    ),
}


async def ended(caller: Caller) -> Row:
    """The one row, once it is final."""
    with open_ledger(caller.house.settings.database_url) as ledger:
        await until(lambda: [row for row in ledger.rows() if row.state != "held"])
        (row,) = ledger.rows()
        assert ledger.broken() == []
        return row


def check(row: Row, cell: Cell, price_ucr: int) -> None:
    assert (row.outcome, row.state, row.rule) == (cell.outcome, cell.state, cell.rule)
    assert row.receipt["cancelled_at"] == cell.cancelled_at
    assert row.charge == (price_ucr if cell.pays else 0)


async def check_close(caller: Caller, tag: str, left: float) -> None:
    record = await caller.house.book.ended(tag)
    assert record.outcome == "peer_closed"
    assert record.close_seen is not None
    assert caller.house.book.begin() + record.close_seen - left <= CLOSE_S


@pytest.mark.parametrize("phase", HEARD)
@pytest.mark.parametrize("model", ["saaras:v3", "whisper-large-v3-turbo", "nova-3", "whisper"])
async def test_who_leaves_while_a_recording_is_understood_pays_by_the_table(
    caller: Caller, model: str, phase: str
) -> None:
    cell = HEARD[phase]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transcribe, caller, model, recording(4000, f"[tag=t] {cell.cues}"))
        await until(lambda: any(reached(record, phase) for record in asked(caller, "t")))
        await trio.sleep(0.02)
        left = trio.current_time()
        nursery.cancel_scope.cancel()
    check(await ended(caller), cell, hearing_ucr(model, 4000))
    await check_close(caller, "t", left)


@pytest.mark.parametrize("phase", SAID)
@pytest.mark.parametrize("model", ["bulbul:v3", "aura-2-en", "gpt-4o-mini-tts"])
async def test_who_leaves_while_a_text_is_spoken_pays_by_the_table(caller: Caller, model: str, phase: str) -> None:
    cell = SAID[phase]
    text = f"[tag=t] {cell.cues} {WORDS}"
    body: Json = {"model": model, "input": text, "response_format": "pcm"}
    async with trio.open_nursery() as nursery:

        async def listen() -> None:
            async with caller.http.stream("POST", SPEECH, json=body) as reply:
                async for _ in reply.aiter_raw():
                    pass

        nursery.start_soon(listen)
        await until(lambda: any(reached(record, phase) for record in asked(caller, "t")))
        await trio.sleep(0.02)
        left = trio.current_time()
        nursery.cancel_scope.cancel()
    check(await ended(caller), cell, speaking_ucr(model, len(text)))
    await check_close(caller, "t", left)


def reached(record: Record, phase: str) -> bool:
    headers, first = record.headers_sent, record.first_byte
    if phase == "before upstream headers":
        return True
    return (headers if phase in {"before the text", "before the first sound"} else first) is not None


async def test_who_has_heard_the_end_has_been_charged(caller: Caller) -> None:
    reply = await say(caller, WORDS)
    with open_ledger(caller.house.settings.database_url) as ledger:
        row = ledger.row(reply.headers["x-generation-id"])
    assert (row.state, row.rule, row.charge) == ("posted", "B17", speaking_ucr("aura-2-en", len(WORDS)))


async def test_who_leaves_in_the_upload_has_asked_for_nothing(caller: Caller) -> None:
    client = await H1Client.connect(caller.house.url)
    head = (
        f"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {caller.house.customer.key}"
        "\r\ncontent-type: multipart/form-data; boundary=x\r\ncontent-length: 5000000\r\n\r\n"
    )
    part = '--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    await client.send(head.encode() + part.encode() + recording(20_000))
    await trio.sleep(0.05)
    await client.leave()
    await trio.sleep(0.05)
    assert (asked(caller), caller.books().calls) == ([], 0)
    assert (await transcribe(caller)).status_code == 200
