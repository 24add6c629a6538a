"""The bytes of a chat stream through the whole gateway (compat.md section 1, rows S1 to S15)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import trio
from openai.types.chat import ChatCompletionChunk

from scripts.simulator import words
from tests.e2e.calling import DONE, MODELS, NO_FAST, Caller, Event, open_caller, question

#: A busy machine is late; a held-back event would be later than this.
LATE_S = 0.15
#: The provider misbehaves, the answer is good all the same.
TAMED = ("no_role", "role_each_chunk", "repeat_ids", "usage_each_chunk", "no_usage", "noisy_headers", "length")


def check_grammar(events: list[Event]) -> None:
    """S4, S5, S7, S8, S9: one data line a block, all of them chunks, `[DONE]` once and last."""
    assert [event.payload for event in events].count(DONE) == 1
    assert events[-1].payload == DONE
    for event in events:
        assert len(event.lines) == 1
        assert event.text.startswith("data: ")
    for event in events[:-1]:
        ChatCompletionChunk.model_validate(event.data, strict=True)
        assert event.data["object"] == "chat.completion.chunk"
        assert "error" not in event.data


def text_of(events: list[Event]) -> str:
    return "".join(event.delta.get("content") or "" for event in events if event.payload != DONE)


async def test_the_head_of_a_stream_is_exact_and_nothing_is_compressed(caller: Caller) -> None:
    async with caller.stream(question(), accept_encoding="gzip, br") as stream:
        await stream.rest()
    headers = dict(stream.headers)
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert not {"content-encoding", "content-length"} & headers.keys()


async def test_each_event_leaves_when_it_comes_and_waits_for_no_other(caller: Caller) -> None:
    async with caller.stream(question("[tag=slow] [mock=slow_tokens] [tokens=5]")) as stream:
        events = [event async for event in stream if event.payload != DONE and event.delta.get("content")]
    (record,) = caller.upstream("slow")
    assert record.first_byte is not None
    first_written = caller.house.book.begin() + record.first_byte
    late = [event.at - (first_written + 0.2 * number) for number, event in enumerate(events)]
    assert len(late) == 5
    assert all(-0.01 <= each < LATE_S for each in late), late


async def test_characters_cut_up_by_the_provider_arrive_whole(caller: Caller) -> None:
    events = await caller.events("[mock=split_utf8] [tokens=12]")
    expected = "".join(piece.text for piece in words.say(words.SCRIPTS, 12))
    assert text_of(events) == expected
    assert "\N{REPLACEMENT CHARACTER}" not in expected


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
async def test_every_stream_keeps_the_grammar_whatever_its_provider_does(caller: Caller, model: str) -> None:
    for trigger in TAMED:
        check_grammar(await caller.events(f"[mock={trigger}] [tokens=4]", model))
        check_grammar(await caller.events(f"[mock={trigger}]", model, stream_options={"include_usage": True}))
    for trigger in ("no_index", "all_zero_index", "object_arguments", "stop_with_tools"):
        check_grammar(await caller.events(f"[mock={trigger}]", model))


async def test_a_line_of_a_mebibyte_arrives_in_one_piece(caller: Caller) -> None:
    events = await caller.events("[mock=giant_line]")
    check_grammar(events)
    (giant,) = [event for event in events[:-1] if len(event.text) > 1 << 20]
    assert giant.delta["content"] == words.giant().text


async def test_no_line_of_an_ordinary_answer_is_large(caller: Caller) -> None:
    tools = [
        {"type": "function", "function": {"name": f"tool_{number}", "description": "x" * 100}} for number in range(20)
    ]
    events = await caller.events("[tokens=400]", tools=tools)
    assert max(len(event.text) for event in events) < 1024


async def test_a_silent_provider_does_not_make_a_silent_stream(tmp_path: Path) -> None:
    async with (
        open_caller(tmp_path, heartbeat_s=0.1) as caller,
        caller.stream(question("[tag=mute] [mock=hang_mid]")) as stream,
    ):
        beats: list[Event] = []
        async for event in stream:
            if event.data["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}]:
                beats.append(event)
            if len(beats) == 3:
                break
        gaps = [after.at - before.at for before, after in pairwise(beats)]
        assert all(0.05 < gap < 0.1 + LATE_S for gap in gaps)


@pytest.mark.parametrize(
    ("trigger", "status", "code"),
    [
        ("5xx", 502, "upstream_error"),
        ("502", 502, "upstream_error"),
        ("html_500", 502, "upstream_error"),
        ("close_before_body", 502, "upstream_error"),
        ("bad_first_chunk", 502, "upstream_error"),
        ("invalid_json_body", 502, "upstream_error"),
        ("empty_answer", 502, "upstream_error"),
        ("error_200", 502, "upstream_error"),
        ("401", 503, "provider_error"),
        ("402", 503, "provider_error"),
        ("429_retry_after_7", 429, "rate_limit_exceeded"),
        ("context_length", 400, "context_length_exceeded"),
        ("content_policy", 400, "content_policy_violation"),
        ("bad_request", 400, "invalid_request_error"),
    ],
)
async def test_a_failure_inside_the_grace_is_a_real_status(
    tmp_path: Path, trigger: str, status: int, code: str
) -> None:
    async with (
        open_caller(tmp_path, first_byte_grace_s=5.0) as caller,
        caller.stream(question(f"[mock={trigger}]", "openai/gpt-5.4-mini")) as stream,
    ):
        assert stream.status == status
        assert dict(stream.headers)["content-type"] == "application/json"
        assert f'"code":"{code}"'.encode() in await stream.rest()
        assert (await caller.settled()).charged == 0


async def test_a_failure_after_the_grace_is_an_error_in_the_stream(tmp_path: Path) -> None:
    async with (
        open_caller(tmp_path, first_byte_grace_s=0.05) as caller,
        caller.stream(question("[mock=late_error:200]")) as stream,
    ):
        assert stream.status == 200
        assert stream.head_at - stream.began < 0.05 + LATE_S
        opening, error = await stream.events()
        assert opening.delta == {"role": "assistant", "content": ""}
        assert set(error.data) == {"error"}
        assert error.data["error"]["code"] == "upstream_error"
        assert set(error.data["error"]) == {"message", "type", "param", "code"}
        assert stream.ended_well
        assert (await caller.settled()).charged == 0


@pytest.mark.parametrize("trigger", ["error_mid", "eof_mid", "end_mid", "rst_mid"])
async def test_after_content_an_answer_ends_with_an_honest_error_and_no_other_provider_is_asked(
    caller: Caller, trigger: str
) -> None:
    async with caller.stream(question(f"[tag=cut] [mock={trigger}] [pace=200]", "kimi-k2.5-fast")) as stream:
        events = await stream.events()
    assert "The market opens before the".startswith(text_of(events[:-1]))
    assert text_of(events[:-1])
    assert events[-1].data["error"]["code"] == "upstream_error"
    assert all("error" not in event.data for event in events[:-1])
    assert {choice["finish_reason"] for event in events[:-1] for choice in event.data["choices"]} == {None}
    assert [record.dialect for record in caller.upstream("cut")] == ["openai"]
    assert (await caller.settled()).charged == 0


async def test_an_error_that_comes_with_the_first_content_is_tried_again_and_its_text_is_never_seen(
    caller: Caller,
) -> None:
    async with caller.stream(question("[tag=once] [mock=error_mid]", "sarvam-30b")) as stream:
        assert stream.status == 502
    assert len(caller.upstream("once")) == 2


async def test_before_content_the_next_provider_answers_and_the_text_comes_once(tmp_path: Path) -> None:
    async with open_caller(tmp_path, **NO_FAST) as caller:
        events = await caller.events("[tag=over] [tokens=6]", "kimi-k2.5-fast")
        check_grammar(events)
        assert text_of(events) == "".join(piece.text for piece in words.say(words.STORY, 6))
        assert [record.dialect for record in caller.upstream("over")] == ["cloudflare"]


@pytest.mark.parametrize(("trigger", "last"), [("noisy_headers", DONE), ("error_mid", "error")])
async def test_the_body_ends_at_once_after_its_last_event(caller: Caller, trigger: str, last: str) -> None:
    async with caller.stream(question(f"[mock={trigger}] [tokens=8] [pace=200]")) as stream:
        events = await stream.events()
    assert last in events[-1].payload
    assert stream.ended_well
    assert stream.ended_at - events[-1].at < 0.1


async def test_an_answer_cut_before_its_own_end_mark_is_finished_properly_and_charged(caller: Caller) -> None:
    events = await caller.events("[mock=drop_after_usage] [tokens=5]", stream_options={"include_usage": True})
    check_grammar(events)
    receipt = await caller.receipt(events[0].data["id"])
    assert receipt["settlement_basis"] == "provider_usage"
    assert receipt["credits"] > 0


async def test_a_client_that_leaves_during_a_hang_closes_the_provider_and_pays_for_what_came(caller: Caller) -> None:
    async with caller.stream(question("[tag=left] [mock=hang_mid]")) as stream:
        async for event in stream:
            if event.delta.get("content"):
                break
    with trio.fail_after(2):
        record = await caller.house.book.ended("left")
    assert record.outcome == "peer_closed"
    books = await caller.settled()
    assert 0 < books.charged < books.balance
