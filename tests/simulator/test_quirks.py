"""Faults of form: each trigger changes what it names and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.core.tokens import count_text
from scripts.simulator.chat import NOISY
from scripts.simulator.dialects.openrouter import OPENROUTER
from scripts.simulator.script import Script, Step
from tests.simulator.asking import Json, asker, body_of, chat_body, chunks_of, contents, events_of

USAGE = {"stream_options": {"include_usage": True}}


def script_of(trigger: str, **fields: Any) -> Script:
    return asker()(chat_body(f"[mock={trigger}]", **fields))[0]


def stream(trigger: str, **fields: Any) -> list[Json]:
    return chunks_of(script_of(trigger, stream=True, **USAGE, **fields))


def deltas(chunks: list[Json]) -> list[Json]:
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


def fragments(chunks: list[Json]) -> list[Json]:
    return [delta["tool_calls"][0] for delta in deltas(chunks) if "tool_calls" in delta]


def test_a_trigger_in_the_model_id_works_like_one_in_the_prompt() -> None:
    script, record = asker()(chat_body("hi") | {"model": "vendor/mock/empty_answer"})
    assert body_of(script)["choices"][0]["message"]["content"] == ""
    assert record.triggers == ("empty_answer",)


def test_empty_answer_finishes_without_content() -> None:
    chunks = stream("empty_answer")
    assert contents(chunks) == []
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 0


@pytest.mark.parametrize("streamed", [True, False])
def test_usage_zero_says_zero_everywhere(streamed: bool) -> None:
    said = stream("usage_zero")[-1] if streamed else body_of(script_of("usage_zero"))
    assert {said["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")} == {0}


def test_no_usage_sends_none() -> None:
    assert not any(chunk.get("usage") for chunk in stream("no_usage"))
    assert "usage" not in body_of(script_of("no_usage"))


def test_usage_each_chunk_counts_up_with_the_content() -> None:
    counted = [chunk["usage"]["completion_tokens"] for chunk in stream("usage_each_chunk", max_tokens=5)[1:6]]
    assert counted == [1, 2, 3, 4, 5]


def test_no_role_and_role_each_chunk() -> None:
    assert not any("role" in delta for delta in deltas(stream("no_role")))
    assert all("role" in delta for delta in deltas(stream("role_each_chunk"))[:-1])


def test_no_index_leaves_it_out_of_two_calls() -> None:
    parts = fragments(stream("no_index"))
    assert not any("index" in part for part in parts)
    assert len({part["id"] for part in parts if "id" in part}) == 2


def test_all_zero_index_numbers_two_calls_alike() -> None:
    parts = fragments(stream("all_zero_index"))
    assert {part["index"] for part in parts} == {0}
    assert len({part["id"] for part in parts if "id" in part}) == 2


def test_object_arguments_are_no_string() -> None:
    assert fragments(stream("object_arguments"))[0]["function"]["arguments"] == {"city": "Pune"}
    call = body_of(script_of("object_arguments"))["choices"][0]["message"]["tool_calls"][0]
    assert call["function"]["arguments"] == {"city": "Pune"}


def test_stop_with_tools_calls_and_says_stop() -> None:
    chunks = stream("stop_with_tools")
    assert fragments(chunks)
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"


def test_length_is_the_finish_of_a_full_answer() -> None:
    chunks = stream("length")
    assert (len(contents(chunks)), chunks[-2]["choices"][0]["finish_reason"]) == (40, "length")


def test_repeat_ids_changes_identity_and_repeats_the_call() -> None:
    chunks = stream("repeat_ids+stop_with_tools".replace("+", "][mock="))
    assert len({(chunk["id"], chunk["model"]) for chunk in chunks}) == len(chunks)
    assert len({part["id"] for part in fragments(chunks)}) == 1
    assert all("id" in part and "name" in part["function"] for part in fragments(chunks))


def test_shuffled_choices_open_from_the_last() -> None:
    chunks = stream("shuffled_choices", n=3)
    assert [chunk["choices"][0]["index"] for chunk in chunks[:3]] == [2, 1, 0]


def test_split_utf8_speaks_in_many_byte_letters() -> None:
    script = script_of("split_utf8", stream=True)
    text = "".join(contents(chunks_of(script)))
    assert script.bytewise
    assert (count_text(text), len(text.encode()) > len(text) * 2) == (40, True)


def test_giant_line_is_one_line_of_a_mebibyte_that_knows_its_tokens() -> None:
    steps: list[Step] = list(script_of("giant_line", stream=True).steps)
    longest = max(steps, key=lambda step: len(step.data))
    assert len(longest.data) > 1 << 20
    assert longest.data.count(b"\n") == 2
    (text,) = contents([msgspec.json.decode(longest.data.removeprefix(b"data: "))])
    assert longest.tokens == count_text(text)


def test_slow_tokens_counts_in_steps_of_200_ms() -> None:
    steps = [step for step in script_of("slow_tokens", stream=True).steps if step.tokens]
    said = contents([msgspec.json.decode(step.data.removeprefix(b"data: ")) for step in steps])
    assert said[:3] == ["one", " two", " three"]
    assert [step.at_s for step in steps[:3]] == pytest.approx([0, 0.2, 0.4])


def test_bad_first_chunk_is_no_json() -> None:
    (event,) = events_of(list(script_of("bad_first_chunk", stream=True).steps))
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(event)


@pytest.mark.parametrize("streamed", [True, False])
def test_invalid_json_body_breaks_off_under_a_json_content_type(streamed: bool) -> None:
    script = script_of("invalid_json_body", stream=streamed)
    assert (script.status, dict(script.headers)["content-type"]) == (200, "application/json")
    with pytest.raises(msgspec.DecodeError):
        body_of(script)
    assert script.length == sum(len(step.data) for step in script.steps)


def test_noisy_headers_are_twelve_beside_a_good_answer() -> None:
    script = script_of("noisy_headers")
    assert len(NOISY) == 12
    assert set(NOISY) <= set(script.headers)
    assert not script.fault


def test_html_500_is_a_page() -> None:
    script = script_of("html_500")
    (step,) = script.steps
    assert (script.status, step.data[:15]) == (500, b"<!DOCTYPE html>")
    assert dict(script.headers)["content-type"].startswith("text/html")


@pytest.mark.parametrize(("trigger", "wait"), [("429", None), ("429_retry_after_7", "7")])
def test_retry_after_is_sent_when_it_is_in_the_name(trigger: str, wait: str | None) -> None:
    assert dict(script_of(trigger).headers).get("retry-after") == wait


@pytest.mark.parametrize("streamed", [True, False])
def test_error_200_brings_the_error_and_no_content(streamed: bool) -> None:
    script, _ = asker(OPENROUTER)(chat_body("[mock=error_200]", stream=streamed))
    said = chunks_of(script)[-1] if streamed else body_of(script)
    assert (script.status, said["error"]["code"]) == (200, 500)


@pytest.mark.parametrize("trigger", ["eof_mid", "end_mid", "rst_mid", "error_mid"])
def test_a_cut_after_five_tokens_has_no_finish(trigger: str) -> None:
    chunks = [chunk for chunk in stream(trigger) if "choices" in chunk]
    assert len(contents(chunks)) == 5
    assert not any(choice["finish_reason"] for chunk in chunks for choice in chunk["choices"])


def test_a_cut_later_than_the_answer_still_has_no_finish() -> None:
    chunks = chunks_of(asker()(chat_body("[mock=eof_mid][tokens=2]", stream=True))[0])
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 3


def test_drop_after_usage_has_usage_and_no_done() -> None:
    steps = list(script_of("drop_after_usage", stream=True, **USAGE).steps)
    assert "[DONE]" not in events_of(steps)
    assert steps[-1].usage is not None


def test_signed_thinking_sends_details_with_each_text_and_its_signature_behind_them() -> None:
    said = deltas(stream("signed_thinking", reasoning_effort="high", max_tokens=20))
    details = [delta["reasoning_details"] for delta in said if "reasoning_details" in delta]
    *texts, (signature, encrypted) = details
    assert [text["text"] for (text,) in texts] == [
        delta["reasoning_content"] for delta in said if delta.get("reasoning_content")
    ]
    assert (signature["index"], encrypted["index"]) == (0, 1)
    assert signature["signature"]
    assert encrypted["data"]
