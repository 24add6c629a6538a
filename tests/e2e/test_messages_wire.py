"""The bytes of a Messages stream through the whole gateway, good, failing and silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tests.core.messages_events import Folded, Json, events, follow
from tests.e2e.calling import MODELS, Caller, open_caller

PATH: Final = "/v1/messages"
END: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


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
