"""The official OpenAI SDK against the whole gateway: the documents' examples, streams, tools, choices, schemas."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import trio
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, open_caller
from tests.e2e.examples import BASIC, CAPITAL, FRONTIER, MODEL_LIST, STREAMING, VISION, run_example

pytestmark = ON_BOTH

T = TypeVar("T")
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def sdk(caller: Caller, **options: Any) -> OpenAI:
    given = {"api_key": caller.house.customer.key, "base_url": f"{caller.house.url}/v1", "max_retries": 0, **options}
    return OpenAI(**given)


async def with_sdk(caller: Caller, work: Callable[[OpenAI], T]) -> T:
    """`work` in a thread, as a program without an event loop would do it."""

    def run() -> T:
        with sdk(caller) as client:
            return work(client)

    return await trio.to_thread.run_sync(run)


def say(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


async def test_the_basic_example_runs(caller: Caller) -> None:
    printed = await trio.to_thread.run_sync(run_example, BASIC, caller.house)
    assert printed.startswith(CAPITAL)
    assert caller.upstream()[-1].dialect == "sarvam"


async def test_the_streaming_example_runs(caller: Caller) -> None:
    printed = await trio.to_thread.run_sync(run_example, STREAMING, caller.house)
    assert printed.startswith(CAPITAL)
    assert caller.upstream()[-1].model == "@cf/openai/gpt-oss-120b"


async def test_the_frontier_example_runs_and_its_preferences_reach_the_provider(caller: Caller) -> None:
    printed = await trio.to_thread.run_sync(run_example, FRONTIER, caller.house)
    assert printed.startswith(f"openai/gpt-5.4 {CAPITAL}")
    (record,) = caller.upstream("frontier")
    assert record.body["provider"] == {"sort": "throughput", "order": ["openai"]}
    assert "models" not in record.body


async def test_the_vision_example_runs_and_the_image_reaches_the_provider(caller: Caller) -> None:
    await trio.to_thread.run_sync(run_example, VISION, caller.house)
    content = caller.upstream()[-1].body["messages"][0]["content"]
    assert content[1] == {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}


async def test_the_model_list_example_prints_window_and_vision_of_every_model(caller: Caller) -> None:
    printed = await trio.to_thread.run_sync(run_example, MODEL_LIST, caller.house)
    lines = printed.splitlines()
    assert "sarvam-30b 65536 False" in lines
    assert "anthropic/claude-sonnet-4.6 1048576 True" in lines
    assert "kimi-k2.5-fast 262144 False" in lines


async def test_reasoning_can_be_switched_off_and_saves_tokens(caller: Caller) -> None:
    def think(client: OpenAI) -> tuple[ChatCompletion, ChatCompletion]:
        question = say("[tokens=9] [reasoning=92] What is 2+2?")
        on = client.chat.completions.create(model="kimi-k2.6", messages=question, reasoning_effort="high")
        off = client.chat.completions.create(model="kimi-k2.6", messages=question, reasoning_effort="none")
        return on, off

    on, off = await with_sdk(caller, think)
    assert on.usage is not None
    assert off.usage is not None
    assert (on.usage.completion_tokens, off.usage.completion_tokens) == (101, 9)
    assert on.choices[0].message.content == off.choices[0].message.content
    extra = on.choices[0].message.model_extra or {}
    assert extra["reasoning_content"]


@pytest.mark.parametrize("tools", [1, 3])
async def test_the_stream_helper_ends_with_what_the_unstreamed_call_returns(caller: Caller, tools: int) -> None:
    def ask(client: OpenAI) -> tuple[ChatCompletion, ChatCompletion]:
        asked: dict[str, Any] = {
            "model": "openai/gpt-5.4-mini",
            "messages": say(f"[ids=same] [tools={tools}]"),
            "tools": [WEATHER],
            "parallel_tool_calls": True,
        }
        whole = client.chat.completions.create(**asked)
        with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            return whole, stream.get_final_completion()

    whole, final = await with_sdk(caller, ask)
    assert len(whole.choices[0].message.tool_calls or []) == tools
    assert final.choices[0].finish_reason == whole.choices[0].finish_reason == "tool_calls"
    assert final.usage == whole.usage
    for streamed, call in zip(
        final.choices[0].message.tool_calls or [], whole.choices[0].message.tool_calls or [], strict=True
    ):
        assert (streamed.id, streamed.type) == (call.id, call.type)
        assert streamed.type == call.type == "function"
        assert (streamed.function.name, streamed.function.arguments) == (call.function.name, call.function.arguments)
        assert json.loads(streamed.function.arguments) == {"city": "Pune"}


async def test_three_streamed_choices_are_the_three_unstreamed_ones(caller: Caller) -> None:
    def ask(client: OpenAI) -> tuple[ChatCompletion, ChatCompletion]:
        asked: dict[str, Any] = {
            "model": "openai/gpt-5.4-mini",
            "messages": say("[mock=shuffled_choices] [tokens=6]"),
            "n": 3,
            "logprobs": True,
        }
        whole = client.chat.completions.create(**asked)
        with client.chat.completions.stream(**asked) as stream:
            return whole, stream.get_final_completion()

    whole, final = await with_sdk(caller, ask)
    assert [choice.index for choice in final.choices] == [0, 1, 2]
    for streamed, choice in zip(final.choices, whole.choices, strict=True):
        assert streamed.message.content == choice.message.content != ""
        assert (streamed.finish_reason, streamed.logprobs) == (choice.finish_reason, choice.logprobs)
        assert len(choice.logprobs.content or [] if choice.logprobs else []) == 6


async def test_a_schema_shapes_the_answer(caller: Caller) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
    form: Any = {"type": "json_schema", "json_schema": {"name": "trip", "schema": schema, "strict": True}}
    reply = await with_sdk(
        caller,
        lambda client: client.chat.completions.create(
            model="openai/gpt-5.4-mini", messages=say("Plan a trip"), response_format=form
        ),
    )
    assert json.loads(reply.choices[0].message.content or "") == {"city": "Pune", "days": 3}


async def test_heartbeats_do_not_change_what_the_sdk_reads(database_url: str) -> None:
    async with open_caller(database_url, heartbeat_s=0.1) as caller:

        def read(client: OpenAI) -> tuple[int, str]:
            stream = client.chat.completions.create(
                model="kimi-k2.6", messages=say("[first=450] [tokens=6]"), stream=True
            )
            pieces = [chunk.choices[0].delta for chunk in stream]
            return sum(piece.content is None for piece in pieces), "".join(piece.content or "" for piece in pieces)

        silent, text = await with_sdk(caller, read)
    assert silent >= 3
    assert text == "The market opens before the sun"
