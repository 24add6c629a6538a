"""What a chat answer looks like whatever its provider sends (compat.md section 2, rows C1 to C19)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.calling import DONE, MODELS, Caller, Event, Json, question

WEATHER: Json = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
TIME: Json = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
USAGE_KEYS = {
    "prompt_tokens": None,
    "completion_tokens": None,
    "total_tokens": None,
    "prompt_tokens_details": {"cached_tokens", "audio_tokens", "cache_write_tokens"},
    "completion_tokens_details": {
        *("reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens")
    },
}


def chunks(events: list[Event]) -> list[Json]:
    return [event.data for event in events if event.payload != DONE]


def choices(events: list[Event]) -> list[Json]:
    return [choice for chunk in chunks(events) for choice in chunk["choices"]]


def calls_of(events: list[Event]) -> list[Json]:
    """The tool calls of a stream, put together the way the SDKs do it: strings added up, lists indexed."""
    calls: list[Json] = []
    for choice in choices(events):
        for fragment in choice["delta"].get("tool_calls", []):
            if fragment["index"] == len(calls):
                calls.append({"id": "", "type": "", "name": "", "arguments": ""})
            call = calls[fragment["index"]]
            call["id"] += fragment.get("id", "")
            call["type"] += fragment.get("type", "")
            call["name"] += fragment["function"].get("name", "")
            call["arguments"] += fragment["function"]["arguments"]
    return calls


@pytest.mark.parametrize("trigger", ["no_role", "role_each_chunk", "noisy_headers"])
async def test_the_role_is_said_once_and_first(caller: Caller, trigger: str) -> None:
    events = await caller.events(f"[mock={trigger}] [tokens=4]")
    first, *others = choices(events)
    assert first == {
        **{"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    }
    assert all("role" not in choice["delta"] for choice in others)


async def test_id_model_and_time_never_change_in_a_stream(caller: Caller) -> None:
    seen = chunks(await caller.events("[mock=repeat_ids] [tokens=6]"))
    assert len({(c["id"], c["model"], c["created"], c["system_fingerprint"]) for c in seen}) == 1
    assert seen[0]["id"].startswith("chatcmpl-")
    assert seen[0]["model"] == "kimi-k2.6"


async def test_choices_begin_in_order_and_each_finishes_once(caller: Caller) -> None:
    events = await caller.events("[mock=shuffled_choices] [tokens=5]", "openai/gpt-5.4-mini", n=3)
    firsts = list(dict.fromkeys(choice["index"] for choice in choices(events)))
    finished = sorted(choice["index"] for choice in choices(events) if choice["finish_reason"])
    assert (firsts, finished) == ([0, 1, 2], [0, 1, 2])
    whole = (await caller.chat("[mock=shuffled_choices] [tokens=5]", "openai/gpt-5.4-mini", n=3)).json()["choices"]
    assert [choice["index"] for choice in whole] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in whole}) == 3


@pytest.mark.parametrize("trigger", ["no_index", "all_zero_index", "object_arguments", "repeat_ids", "stop_with_tools"])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
async def test_tool_calls_add_up_whatever_the_provider_sends(caller: Caller, trigger: str, model: str) -> None:
    text = f"[mock={trigger}] [tools=2]"
    events = await caller.events(text, model, tools=[WEATHER, TIME])
    calls = calls_of(events)
    assert [call["name"] for call in calls] == ["get_weather", "get_time"]
    assert [json.loads(call["arguments"]) for call in calls] == [{"city": "Pune"}, {}]
    assert {call["type"] for call in calls} == {"function"}
    assert len({call["id"] for call in calls}) == 2
    assert [choice["finish_reason"] for choice in choices(events) if choice["finish_reason"]] == ["tool_calls"]
    (whole,) = (await caller.chat(text, model, tools=[WEATHER, TIME])).json()["choices"]
    assert whole["finish_reason"] == "tool_calls"
    assert whole["message"]["content"] is None
    made = [
        (call["function"]["name"], json.loads(call["function"]["arguments"])) for call in whole["message"]["tool_calls"]
    ]
    assert made == [("get_weather", {"city": "Pune"}), ("get_time", {})]


async def test_the_end_of_a_choice_is_a_chunk_of_its_own(caller: Caller) -> None:
    for text, reason in (("[tokens=3]", "stop"), ("[mock=length] [tokens=3]", "length")):
        ends = [choice for choice in choices(await caller.events(text)) if choice["finish_reason"]]
        assert [(end["delta"], end["finish_reason"]) for end in ends] == [({}, reason)]
    (cut,) = (await caller.chat("[tokens=30]", max_tokens=4)).json()["choices"]
    assert cut["finish_reason"] == "length"


@pytest.mark.parametrize("trigger", ["noisy_headers", "usage_each_chunk", "no_usage", "usage_zero"])
async def test_usage_is_told_once_at_the_end_and_only_when_asked(caller: Caller, trigger: str) -> None:
    for model in MODELS.values():
        quiet = chunks(await caller.events(f"[mock={trigger}] [tokens=4]", model))
        assert all("usage" not in chunk and chunk["choices"] for chunk in quiet)
        events = await caller.events(f"[mock={trigger}] [tokens=4]", model, stream_options={"include_usage": True})
        *others, last = chunks(events)
        assert last["choices"] == []
        assert all(chunk["usage"] is None and chunk["choices"] for chunk in others)
        check_usage_keys(last["usage"])
        check_usage_keys((await caller.chat(f"[mock={trigger}] [tokens=4]", model)).json()["usage"])


def check_usage_keys(usage: Json) -> None:
    assert usage.keys() == USAGE_KEYS.keys()
    for name, inner in USAGE_KEYS.items():
        if inner is not None:
            assert usage[name].keys() == inner
            assert all(isinstance(count, int) for count in usage[name].values())


async def test_the_usage_told_is_the_usage_of_the_receipt(caller: Caller) -> None:
    options = {"include_usage": True}
    events = await caller.events("[mock=usage_each_chunk] [tokens=9] [cached=2]", stream_options=options)
    usage = events[-2].data["usage"]
    receipt = await caller.receipt(events[0].data["id"])
    assert usage["completion_tokens"] == receipt["tokens_completion"] == 9
    assert usage["prompt_tokens"] == receipt["tokens_prompt"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == receipt["native_tokens_cached"] == 2


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
async def test_null_empty_and_absent_content_stay_three_things(caller: Caller, model: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    for content in ({"content": None}, {"content": ""}, {}):
        history: list[Json] = [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", **content, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "31 degrees"},
            {"role": "user", "content": "[tag=history] Thanks."},
        ]
        reply = await caller.post({"model": model, "messages": history, "tools": [WEATHER]})
        assert reply.status_code == 200, reply.text
        sent = caller.upstream("history")[-1].body["messages"]
        assert len(sent) == 4
        assert {name: sent[1][name] for name in ("content",) if name in sent[1]} == content


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
async def test_an_assistant_message_that_says_nothing_is_not_dropped(caller: Caller, model: str) -> None:
    history = [
        *({"role": "user", "content": "Go on."}, {"role": "assistant", "content": ""}),
        {"role": "user", "content": "[tag=silent] More."},
    ]
    assert (await caller.post({"model": model, "messages": history})).status_code == 200
    assert [message["role"] for message in caller.upstream("silent")[-1].body["messages"]] == [
        *("user", "assistant", "user")
    ]


async def test_logprobs_are_null_unless_asked_and_whole_when_asked(caller: Caller) -> None:
    model = "openai/gpt-5.4-mini"
    plain = (await caller.chat("[tokens=4]", model)).json()["choices"][0]
    assert plain["logprobs"] is None
    asked: dict[str, Any] = {"logprobs": True, "top_logprobs": 2}
    whole = (await caller.chat("[tokens=4]", model, **asked)).json()["choices"][0]
    events = await caller.events("[tokens=4]", model, **asked)
    streamed = [entry for choice in choices(events) if choice["logprobs"] for entry in choice["logprobs"]["content"]]
    assert [entry["token"] for entry in streamed] == ["The", " market", " opens", " before"]
    assert whole["logprobs"]["content"] == streamed
    assert all(len(entry["top_logprobs"]) == 2 for entry in streamed)


#: What a client may set, and what each provider is sent: the value, or "dropped" or "refused".
PARAMETERS: list[tuple[str, Any, dict[str, Any]]] = [
    ("temperature", 0.5, {}),
    ("top_p", 0.9, {}),
    ("top_k", 40, {"cloudflare": "dropped", "sarvam": "dropped", "openai": "dropped"}),
    ("frequency_penalty", 0.5, {}),
    ("presence_penalty", -0.5, {}),
    ("repetition_penalty", 1.1, {"cloudflare": "dropped", "sarvam": "dropped", "openai": "dropped"}),
    ("seed", 7, {}),
    ("stop", ["END"], {}),
    ("stop", "END", {}),
    ("n", 2, {}),
    ("max_tokens", 17, {}),
    ("logit_bias", {"50256": -100}, {"sarvam": "dropped"}),
    ("parallel_tool_calls", False, {"sarvam": "dropped"}),
    ("response_format", {"type": "json_object"}, {}),
]


@pytest.mark.parametrize("dialect", MODELS)
async def test_no_parameter_is_dropped_in_silence(caller: Caller, dialect: str) -> None:
    for name, value, exceptions in PARAMETERS:
        expected = exceptions.get(dialect, value)
        reply = await caller.chat(f"[tag={name}]", MODELS[dialect], **{name: value})
        assert reply.status_code == 200, (name, reply.text)
        sent = caller.upstream(name)[-1].body
        if expected == "dropped":
            assert name not in sent
            assert name in reply.headers["x-cm-dropped-params"]
        else:
            assert sent[name] == value
            assert "x-cm-dropped-params" not in reply.headers


async def test_max_completion_tokens_is_the_other_name_of_the_limit(caller: Caller) -> None:
    for both in ({}, {"max_tokens": 5}):
        fields: Json = {"max_completion_tokens": 3, **both}
        reply = await caller.chat("[tag=limit]", **fields)
        assert reply.json()["usage"]["completion_tokens"] == 3
        assert caller.upstream("limit")[-1].body["max_tokens"] == 3


@pytest.mark.parametrize("choice", ["auto", "none", "required", {"type": "function", "function": {"name": "get_time"}}])
async def test_every_form_of_tool_choice_reaches_the_provider(caller: Caller, choice: str | Json) -> None:
    reply = await caller.chat("[tag=pick]", tools=[WEATHER, TIME], tool_choice=choice)
    assert reply.status_code == 200
    assert caller.upstream("pick")[-1].body["tool_choice"] == choice


async def test_a_strict_schema_reaches_the_provider_and_shapes_the_answer(caller: Caller) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    reply = await caller.chat("[tag=schema]", response_format=form, structured_outputs=True)
    assert json.loads(reply.json()["choices"][0]["message"]["content"]) == {"city": "Pune"}
    sent = caller.upstream("schema")[-1].body["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {**form["json_schema"], "strict": True}}  # type: ignore[dict-item]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
async def test_reasoning_has_one_name_whatever_the_provider_calls_it(caller: Caller, model: str) -> None:
    message = (await caller.chat("[tokens=3]", model, reasoning_effort="high")).json()["choices"][0]["message"]
    events = await caller.events("[tokens=3]", model, reasoning_effort="high")
    streamed = "".join(choice["delta"].get("reasoning_content", "") for choice in choices(events))
    assert message["reasoning_content"] == streamed != ""
    assert "reasoning" not in message
    usage = (await caller.chat("[tokens=3] [reasoning=5]", model, reasoning_effort="high")).json()["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 5


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
async def test_one_id_leads_from_the_answer_to_its_receipt(caller: Caller, model: str) -> None:
    reply = await caller.chat("[tokens=2]", model)
    async with caller.stream(question("[tokens=2]", model)) as stream:
        streamed = (await stream.events())[0].data["id"]
    assert reply.headers["x-generation-id"] == reply.json()["id"]
    assert dict(stream.headers)["x-generation-id"] == streamed
    for call_id in (reply.json()["id"], streamed):
        receipt = await caller.receipt(call_id)
        assert (receipt["id"], receipt["model"]) == (call_id, model)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
async def test_nothing_of_the_provider_shows_in_an_answer(caller: Caller, model: str) -> None:
    reply = await caller.chat("[mock=noisy_headers] [tokens=2]", model)
    assert reply.json().keys() == {
        *("id", "object", "created", "model", "system_fingerprint", "choices", "usage"),
        *({"service_tier"} & reply.json().keys()),
    }
    assert reply.json()["choices"][0].keys() == {"index", "message", "logprobs", "finish_reason"}
    assert reply.json()["choices"][0]["message"].keys() == {"role", "content", "refusal"}
