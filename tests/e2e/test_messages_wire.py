"""The bytes of a Messages stream through the whole gateway, and what a client that leaves one is charged."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import trio

from app.core.tokens import count_text
from app.providers import openrouter
from scripts.simulator.book import Record
from tests.core.messages_events import Folded, Json, events, follow
from tests.e2e.calling import MODELS, Caller, open_caller
from tests.e2e.cancel_cells import MODELS as CANCEL_RULES
from tests.e2e.cancel_cells import PHASES
from tests.e2e.settlement import LedgerView, Row, cost_ucr, open_ledger, question, tokens_charged, until, usage_cost_ucr
from tests.e2e.wire_clients import Answer, H1Client

PATH: Final = "/v1/messages"
END: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
CLOSE_S: Final = 0.05


def asked(text: str = "hi", model: str = "kimi-k2.6", **fields: Any) -> Json:
    return {"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": text}], **fields}


async def stream(caller: Caller, body: Json) -> tuple[Folded, Json]:
    """What a stream said, its order checked, and its call's receipt."""
    async with caller.stream(body, PATH) as answer:
        assert answer.status == 200, await answer.rest()
        folded = follow(await answer.rest())
        return folded, await caller.receipt(dict(answer.headers)["x-generation-id"])


async def test_the_head_is_exact_and_the_end_is_the_message_stop(caller: Caller) -> None:
    async with caller.stream(asked("[tokens=3]"), PATH, accept_encoding="gzip, br") as answer:
        data = await answer.rest()
    headers = dict(answer.headers)
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["request-id"] == headers["x-request-id"]
    assert not {"content-encoding", "content-length"} & headers.keys()
    assert data.endswith(END)
    assert b"[DONE]" not in data
    assert b"\nid:" not in data
    assert headers["x-generation-id"] == follow(data).message["id"]


@pytest.mark.parametrize("model", MODELS.values())
@pytest.mark.parametrize("cue", ["[tokens=4]", "[mock=no_role]", "[mock=repeat_ids]", "[mock=usage_each_chunk]"])
async def test_every_provider_and_its_oddities_give_the_legal_order_and_the_charged_usage(
    caller: Caller, model: str, cue: str
) -> None:
    folded, receipt = await stream(caller, asked(f"{cue} [tokens=4]", model))
    assert (folded.end, folded.message["stop_reason"], folded.message["model"]) == ("message_stop", "end_turn", model)
    assert [block["text"] for block in folded.content] == ["The market opens before"]
    assert folded.message["usage"]["output_tokens"] == receipt["tokens_completion"] == 4
    assert folded.message["usage"]["input_tokens"] == receipt["tokens_prompt"]


async def test_the_start_has_an_estimate_where_usage_comes_last_or_never(caller: Caller) -> None:
    async with caller.stream(asked("[mock=no_usage] [tokens=4]"), PATH) as answer:
        data = await answer.rest()
    estimate = events(data)[0]["message"]["usage"]["input_tokens"]
    receipt = await caller.receipt(dict(answer.headers)["x-generation-id"])
    assert estimate == receipt["tokens_prompt_estimate"] > 0
    assert follow(data).message["usage"]["input_tokens"] == receipt["tokens_prompt"]
    assert receipt["settlement_basis"] == "tokenizer_estimate"


async def test_an_answer_that_lacks_only_its_own_end_mark_gets_ours(caller: Caller) -> None:
    folded, receipt = await stream(caller, asked("[mock=drop_after_usage] [tokens=4]"))
    assert folded.end == "message_stop"
    assert receipt["settlement_rule"] == "B10"


@pytest.mark.parametrize("trigger", ["error_mid", "eof_mid", "end_mid", "rst_mid"])
async def test_a_failure_in_mid_answer_is_told_in_band_and_free(caller: Caller, trigger: str) -> None:
    folded, receipt = await stream(caller, asked(f"[mock={trigger}] [pace=300]"))
    assert (folded.end, folded.message["stop_reason"]) == ("error", None)
    assert folded.content
    assert folded.error is not None
    assert (folded.error["type"], folded.error["details"]["error_code"]) == ("api_error", "upstream_error")
    assert (receipt["credits"], receipt["settlement_rule"]) == (0, "B6")


async def test_an_error_after_the_grace_is_in_band_and_before_it_a_status(caller: Caller) -> None:
    folded, receipt = await stream(caller, asked("[mock=late_error:250]", "sarvam-30b"))
    assert (folded.end, folded.content) == ("error", [])
    assert receipt["credits"] == 0
    async with caller.stream(asked("[mock=5xx]", "openai/gpt-5.4-mini"), PATH) as answer:
        assert answer.status == 502
        assert msgspec.json.decode(await answer.rest())["error"]["type"] == "api_error"


async def test_silence_is_broken_by_pings(tmp_path: Path) -> None:
    async with open_caller(tmp_path, heartbeat_s=0.1, gap_s=0.6) as caller:
        async with caller.stream(asked("[mock=hang_mid]"), PATH) as answer:
            folded = follow(await answer.rest())
        assert folded.pings >= 3
        assert (folded.end, folded.error is not None and folded.error["type"]) == ("error", "overloaded_error")


async def test_thinking_that_is_not_shown_is_silence_with_pings(tmp_path: Path) -> None:
    async with open_caller(tmp_path, heartbeat_s=0.1) as caller:
        body = asked("[reasoning=20] [pace=50] [tokens=2]", output_config={"effort": "high"})
        folded, receipt = await stream(caller, body)
    assert [block["type"] for block in folded.content] == ["text"]
    assert folded.pings >= 2
    assert receipt["tokens_completion"] == 22


async def test_credits_that_run_out_end_the_turn_at_its_limit(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"credit_ucr": 300_000}) as caller:
        folded, receipt = await stream(caller, asked("[tokens=3000]", max_tokens=5000))
        assert (folded.end, folded.message["stop_reason"]) == ("message_stop", "max_tokens")
        assert receipt["settlement_rule"] == "B11"


class MessagesAnswer(Answer):
    @property
    def saw_end(self) -> bool:
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            return self.body.endswith(END)
        return self.status == 200 and self.complete

    def text(self) -> str:
        whole = bytes(self.body)[: bytes(self.body).rfind(b"\n\n") + 2]
        deltas = [event["delta"] for event in events(whole) if event["type"] == "content_block_delta"]
        return "".join(delta["text"] for delta in deltas)


class MessagesClient(H1Client):
    path = PATH

    def __init__(self, sock: trio.socket.SocketType) -> None:
        super().__init__(sock)
        self.answer = MessagesAnswer()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "body"])
async def test_a_client_that_leaves_is_charged_by_the_table_and_its_provider_is_closed(
    caller: Caller, phase: str, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(openrouter.CANCEL, "simulated", "stops_billing")
    monkeypatch.setattr("app.providers.chat.END_S", 60.0)
    with open_ledger(caller.house.settings.database_url) as ledger:
        for number, model in enumerate(("openai/gpt-5.4-mini", "kimi-k2.6")):
            cues = PHASES[phase].cues[number % len(PHASES[phase].cues)]
            await leave(caller, ledger, phase, model, cues, streamed=streamed)


async def leave(caller: Caller, ledger: LedgerView, phase: str, model: str, cues: str, *, streamed: bool) -> None:
    """One call that is left in this phase."""
    tag, book = f"run{len(ledger.rows())}", caller.house.book
    client = await MessagesClient.connect(caller.house.url)
    await client.ask(caller.house.customer.key, question(tag, cues, model, stream=streamed, max_tokens=500))
    await until(lambda: any(reached(phase, record) for record in book.records(tag)))
    (record,) = book.records(tag)
    if phase == "after the terminal event":
        await client.read_to_end()
        assert client.answer.saw_end
        assert ledger.row(client.answer.call_id or "").state == "posted"
    elif streamed and phase in {"mid-stream", "before the terminal event"}:
        await client.read()
    left = await client.leave()
    record = await book.ended(tag)
    await until(lambda: [row for row in ledger.rows("state <> 'held'") if row.tag == tag])
    (row,) = [row for row in ledger.rows() if row.tag == tag]
    check(phase, model, row, record)
    if phase == "mid-stream":
        charged = tokens_charged(row, record.prompt_tokens or 0)
        assert charged is not None
        assert (count_text(client.answer.text()) if streamed else 0) <= charged <= record.tokens_sent
    if phase != "after the terminal event":
        assert record.outcome == "peer_closed"
        assert book.begin() + (record.close_seen or 0) - left <= CLOSE_S
    assert ledger.broken() == []


def reached(phase: str, record: Record) -> bool:
    match phase:
        case "before upstream headers":
            return True
        case "before the first token":
            return record.headers_sent is not None
        case "mid-stream":
            return record.tokens_sent >= 3
        case "before the terminal event" if "no_usage" in record.triggers:
            return record.tokens_sent >= 30
    return record.usage_sent is not None


def check(phase: str, model: str, row: Row, record: Record) -> None:
    """Outcome, basis, rule and amount by the settlement table."""
    wanted = PHASES[phase]
    assert row.id.startswith("msg_")
    assert (row.outcome, row.receipt.get("cancelled_at")) == (wanted.outcome, wanted.cancelled_at)
    prompt, usage = record.prompt_tokens or 0, record.usage_sent
    match phase:
        case "before upstream headers":
            assert (row.basis, row.rule, row.charge) == ("none", "B2", 0)
        case "before the first token":
            assert (row.basis, row.rule, row.charge) == ("tokenizer_estimate", "B4", cost_ucr(model, prompt, 0))
        case "mid-stream":
            assert (row.basis, row.rule) == ("tokenizer_estimate", CANCEL_RULES[model])
        case "before the terminal event" if usage is None:
            assert (row.basis, row.rule) == ("tokenizer_estimate", CANCEL_RULES[model])
            assert row.charge == cost_ucr(model, prompt, record.tokens_sent)
        case _:
            rule = "B5" if phase == "after the terminal event" else "B10"
            assert usage is not None
            assert (row.basis, row.rule, row.charge) == ("provider_usage", rule, usage_cost_ucr(model, usage))
