"""The generic dialect's stream, event by event; the other dialects are held against it in test_dialects.py."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.tokens import count_text
from tests.simulator.asking import Json, asker, chat_body, chunks_of, contents, events_of

ASKED = {"stream_options": {"include_usage": True}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"city": {"type": "string"}}}}}


def stream(text: str = "hi", **fields: Any) -> list[Json]:
    script, _ = asker()(chat_body(text, stream=True, **fields))
    return chunks_of(script)


def test_one_chunk_is_one_token() -> None:
    said = contents(stream("[tokens=120]"))
    assert count_text("".join(said)) == len(said) == 120


def test_the_order_is_role_contents_finish_done() -> None:
    script, _ = asker()(chat_body("[tokens=2]", stream=True))
    events = events_of(list(script.steps))
    assert events[-1] == "[DONE]"
    deltas = [chunk["choices"][0] for chunk in stream("[tokens=2]")]
    assert [choice["delta"] for choice in deltas] == [
        {"role": "assistant", "content": ""},
        {"content": "The"},
        {"content": " market"},
        {},
    ]
    assert [choice["finish_reason"] for choice in deltas] == [None, None, None, "stop"]


def test_identity_is_constant_over_the_stream() -> None:
    assert {(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in stream("[ids=me]")} == {
        ("chatcmpl-me", 1_790_000_000, "m1", "chat.completion.chunk")
    }


def test_usage_comes_last_and_only_when_asked() -> None:
    *others, last = stream("[tokens=3][cached=2]", **ASKED)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 3
    assert last["usage"]["total_tokens"] == 3 + last["usage"]["prompt_tokens"]
    assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    assert [chunk["usage"] for chunk in others] == [None] * len(others)
    assert not any("usage" in chunk for chunk in stream())


def test_steps_carry_the_tokens_and_the_usage_they_send() -> None:
    script, record = asker()(chat_body("[tokens=6]", stream=True, **ASKED))
    steps = list(script.steps)
    assert sum(step.tokens for step in steps) == 6
    assert [step.usage["prompt_tokens"] for step in steps if step.usage] == [record.prompt_tokens]


def test_tool_arguments_come_in_fragments_that_join() -> None:
    deltas = [chunk["choices"][0]["delta"] for chunk in stream("[tool]", tools=[TOOL])]
    fragments = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert len(fragments) > 2
    assert "".join(fragment["function"]["arguments"] for fragment in fragments) == '{"city":"Pune"}'
    assert [fragment.get("id") is not None for fragment in fragments] == [True] + [False] * (len(fragments) - 1)
    assert {fragment["index"] for fragment in fragments} == {0}


def test_a_tool_calls_tokens_are_booked_with_its_fragments() -> None:
    script, _ = asker()(chat_body("[tools=2]", stream=True, tools=[TOOL], **ASKED))
    steps = list(script.steps)
    usage = next(step.usage for step in steps if step.usage)
    assert (
        sum(step.tokens for step in steps)
        == usage["completion_tokens"]
        == 2 * count_text("f") + 2 * count_text('{"city":"Pune"}')
    )


def test_choices_have_their_own_index_and_finish() -> None:
    chunks = stream(n=3, max_tokens=4)
    assert all(len(contents(chunks, choice=index)) == 4 for index in range(3))
    finishes = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert finishes == ["length"] * 3


def test_logprobs_come_with_each_content_when_asked() -> None:
    chunks = stream("[tokens=2]", logprobs=True, top_logprobs=3)
    first = chunks[1]["choices"][0]["logprobs"]["content"][0]
    assert (first["token"], first["bytes"], len(first["top_logprobs"])) == ("The", [84, 104, 101], 3)
    assert "logprobs" not in stream()[1]["choices"][0]


def test_reasoning_comes_before_content() -> None:
    chunks = stream("[reasoning=3][tokens=2]", reasoning_effort="high")
    assert len(contents(chunks, "reasoning_content")) == 3
    assert [sorted(chunk["choices"][0]["delta"]) for chunk in chunks[1:-1]] == [["reasoning_content"]] * 3 + [
        ["content"]
    ] * 2


@pytest.mark.parametrize(
    ("cues", "due"),
    [
        ("", [0, 0, 0]),
        ("[pace=10]", [0, 0.1, 0.2]),
        ("[pace=10][first=300]", [0.3, 0.4, 0.5]),
        ("[first=300]", [0.3, 0.3, 0.3]),
        ("[pace=0]", [0, 0, 0]),
    ],
)
def test_each_token_has_its_time(cues: str, due: list[float]) -> None:
    script, _ = asker()(chat_body(f"[tokens=3]{cues}", stream=True))
    assert [step.at_s for step in script.steps if step.tokens] == pytest.approx(due)
