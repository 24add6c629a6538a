from __future__ import annotations

from typing import Any

import pytest
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion

from app.core.accumulate import Accumulator, usage_object
from app.core.deltas import Delta, ToolDelta, Usage
from tests.core.streams import CALL, CREATED, GOLDEN, MODEL, folded, normaliser, objects, read, take, writer


def message(*deltas: Delta) -> dict[str, Any]:
    upstream = normaliser()
    return dict(folded(list(deltas), upstream)["choices"][0]["message"])


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_a_body_is_what_the_sdk_calls_a_completion(name: str) -> None:
    upstream = normaliser()
    body = folded(take(upstream, read(GOLDEN[name])), upstream)
    completion = ChatCompletion.model_validate(body, strict=True)
    assert completion.choices[0].finish_reason == upstream.finishes[0]
    assert (completion.id, completion.created, completion.model) == (CALL, CREATED, MODEL)


def test_a_plain_answer_is_this_body() -> None:
    accumulator = Accumulator()
    accumulator.add([Delta(0, "2 + 2"), Delta(0, " = 4")])
    body = accumulator.completion("chatcmpl-1", 7, "m", {0: "stop"}, Usage(12, 9), 1)
    assert body.decode() == (
        '{"id":"chatcmpl-1","object":"chat.completion","created":7,"model":"m","system_fingerprint":null,'
        '"choices":[{"index":0,"message":{"role":"assistant","content":"2 + 2 = 4","refusal":null},"logprobs":null,'
        '"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":9,"total_tokens":21,'
        '"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0,"cache_write_tokens":0},'
        '"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,'
        '"rejected_prediction_tokens":0}}}'
    )


def test_c11_the_usage_has_its_full_key_set_in_stream_and_body() -> None:
    usage = Usage(prompt=9, completion=5, cached=1, cache_written=2, reasoning=3, audio_in=4, audio_out=5)
    spelled = usage_object(usage)
    assert spelled == {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 4, "cache_write_tokens": 2},
        "completion_tokens_details": {
            "reasoning_tokens": 3,
            "audio_tokens": 5,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    assert CompletionUsage.model_validate(spelled).total_tokens == 14
    assert objects(writer(include_usage=True).close({}, usage))[-1]["usage"] == spelled


def test_c14_calls_without_text_have_null_content() -> None:
    gained = message(Delta(0, tools=[ToolDelta(0, "", "a", "f")]), Delta(0, tools=[ToolDelta(0, "{}")]))
    assert gained == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }


def test_text_that_came_with_calls_is_kept() -> None:
    gained = message(Delta(0, "Checking."), Delta(0, tools=[ToolDelta(0, "{}", "a", "f")]))
    assert gained["content"] == "Checking."


def test_content_without_calls_is_a_string_even_if_reasoning_used_up_the_limit() -> None:
    gained = message(Delta(0, reasoning="hm"), Delta(0, reasoning="m"))
    assert gained == {"role": "assistant", "content": "", "refusal": None, "reasoning_content": "hmm"}


def test_a_refusal_is_joined() -> None:
    assert message(Delta(0, refusal="I "), Delta(0, refusal="won't."))["refusal"] == "I won't."


def test_a_choice_the_upstream_never_mentioned_is_an_empty_stop() -> None:
    upstream = normaliser(3)
    choices = folded([Delta(1, "a")], upstream, 3)["choices"]
    assert [(c["index"], c["message"]["content"], c["finish_reason"]) for c in choices] == [
        (0, "", "stop"),
        (1, "a", "stop"),
        (2, "", "stop"),
    ]


def test_c15_logprobs_are_kept_only_when_asked_for() -> None:
    upstream = normaliser()
    deltas = [Delta(0, "a", logprobs={"content": [{"token": "a"}], "refusal": None})] * 2
    assert folded(deltas, upstream)["choices"][0]["logprobs"] is None
    expected = {"content": [{"token": "a"}] * 2, "refusal": None}
    assert folded(deltas, upstream, logprobs=True)["choices"][0]["logprobs"] == expected


def test_c17_fragments_of_reasoning_details_become_whole_blocks() -> None:
    upstream = normaliser()
    gained = folded(take(upstream, read(GOLDEN["openrouter"])), upstream)["choices"][0]["message"]
    assert gained["reasoning_details"] == [
        {"type": "reasoning.text", "text": "User asks.", "format": "unknown", "index": 0, "signature": "c2ln"}
    ]


def test_c17_blocks_of_reasoning_details_stay_apart() -> None:
    parts: list[Any] = [
        {"type": "reasoning.text", "index": 0, "text": "a"},
        {"type": "reasoning.encrypted", "index": 0, "data": "x"},
        {"type": "reasoning.text", "index": 1, "text": None},
        {"type": "reasoning.text", "index": 0, "text": "b", "id": None},
        {"type": "reasoning.text", "index": 1, "text": "c"},
        {"type": "reasoning.text", "text": "d"},
        {"type": "reasoning.text", "text": "e"},
        "odd",
    ]
    gained = message(*(Delta(0, extras={"reasoning_details": [part]}) for part in parts))
    assert gained["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "ab", "id": None},
        {"type": "reasoning.encrypted", "index": 0, "data": "x"},
        {"type": "reasoning.text", "index": 1, "text": "c"},
        {"type": "reasoning.text", "text": "d"},
        {"type": "reasoning.text", "text": "e"},
        "odd",
    ]


def test_c17_audio_and_annotations_are_put_together() -> None:
    gained = message(
        Delta(0, extras={"audio": {"id": "audio_1", "data": "AAAA", "transcript": "a"}}),
        Delta(0, extras={"audio": {"data": "BBBB", "transcript": "b", "expires_at": 5}}),
        Delta(0, extras={"annotations": [{"type": "url_citation"}]}),
    )
    assert gained["audio"] == {"id": "audio_1", "data": "AAAABBBB", "transcript": "ab", "expires_at": 5}
    assert gained["annotations"] == [{"type": "url_citation"}]


def test_c17_the_service_tier_is_in_the_body_and_padding_is_not() -> None:
    body = folded([Delta(0, "a", top={"service_tier": "flex", "obfuscation": "xx"})], normaliser())
    assert body["service_tier"] == "flex"
    assert "obfuscation" not in body


def test_text_is_everything_that_was_generated() -> None:
    accumulator = Accumulator()
    accumulator.add(
        [Delta(0, "b", reasoning="a"), Delta(0, refusal="c"), Delta(0, tools=[ToolDelta(0, "e", "x", "d")])]
    )
    accumulator.add([Delta(0, tools=[ToolDelta(0, "f")]), Delta(1, "g")])
    assert accumulator.text() == "abcdefg"


@pytest.mark.parametrize(
    "deltas",
    [[], [Delta(0, extras={"annotations": [{}]})], [Delta(0, top={"service_tier": "x"})], [Delta(0, logprobs={})]],
)
def test_what_generated_nothing_is_empty(deltas: list[Delta]) -> None:
    accumulator = Accumulator()
    accumulator.add(deltas)
    assert accumulator.empty
    assert accumulator.text() == ""
