"""The official Anthropic SDK against the whole gateway: messages, streams, tools, thinking, images, counts, models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import trio
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import Message, MessageParam
from openai import OpenAI

from scripts.simulator.streamed import ENCRYPTED, SIGNATURE
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, open_caller

pytestmark = ON_BOTH

T = TypeVar("T")
CLAUDE = "anthropic/claude-sonnet-4.6"
#: What the SDK is pointed at, and where it asks then.
PATHS = {"": "/v1/messages", "/v1": "/v1/v1/messages", "/anthropic": "/anthropic/v1/messages"}
WEATHER: Any = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PNG: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
THINK: Any = {"type": "enabled", "budget_tokens": 1024}


def sdk(caller: Caller, path: str = "", **options: Any) -> Anthropic:
    given = {"api_key": caller.house.customer.key, "max_retries": 0, **options}
    return Anthropic(base_url=caller.house.url + path, **given)


async def with_sdk(caller: Caller, work: Callable[[Anthropic], T], path: str = "", **options: Any) -> T:
    """`work` in a thread, as a program without an event loop would do it."""

    def run() -> T:
        with sdk(caller, path, **options) as client:
            return work(client)

    return await trio.to_thread.run_sync(run)


def asked(text: str, model: str = "kimi-k2.6", **fields: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 2000, "messages": [{"role": "user", "content": text}], **fields}


def shape(message: Message) -> dict[str, Any]:
    """All of a message but its id."""
    return {**message.to_dict(exclude_none=True), "id": None}


async def both(caller: Caller, **fields: Any) -> tuple[Message, Message]:
    """The message as one body, and the final one of the stream helper."""

    def ask(client: Anthropic) -> tuple[Message, Message]:
        whole = client.messages.create(**fields)
        with client.messages.stream(**fields) as stream:
            return whole, stream.get_final_message()

    return await with_sdk(caller, ask)


@pytest.mark.parametrize("path", PATHS)
async def test_every_base_path_answers_a_message_with_a_receipt_under_its_id(caller: Caller, path: str) -> None:
    message = await with_sdk(caller, lambda client: client.messages.create(**asked("[tokens=5]")), path)
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "The market opens before the"}]
    assert (message.stop_reason, message.model) == ("end_turn", "kimi-k2.6")
    assert str(message._request_id).startswith("req_")
    receipt = await caller.receipt(message.id)
    assert receipt["endpoint"] == PATHS[path]
    assert receipt["tokens_completion"] == message.usage.output_tokens == 5
    assert receipt["request_id"] == message._request_id


@pytest.mark.parametrize(
    "fields",
    [
        asked("[tokens=7] [cached=4]"),
        asked("[tokens=7]", "openai/gpt-5.4-mini"),
        asked("[mock=length] [tokens=7]"),
        asked("[ids=a] [tools=3]", tools=[WEATHER]),
        asked("[ids=a] [mock=no_index]", tools=[WEATHER]),
        asked("[ids=a] [mock=stop_with_tools]", tools=[WEATHER]),
        asked("[tokens=4] [reasoning=6]", thinking=THINK),
        asked("[mock=signed_thinking] [tokens=4] [reasoning=6]", CLAUDE, thinking=THINK),
        asked("[tokens=5]", stop_sequences=["before the"]),
        asked("[mock=split_utf8] [tokens=9]"),
    ],
    ids=lambda fields: fields["messages"][0]["content"],
)
async def test_the_stream_helper_ends_with_what_the_unstreamed_call_returns(
    caller: Caller, fields: dict[str, Any]
) -> None:
    whole, final = await both(caller, **fields)
    assert shape(whole) == shape(final)
    assert whole.content


async def test_cached_tokens_stand_beside_the_input(caller: Caller) -> None:
    whole, _ = await both(caller, **asked("[tokens=2] [cached=4] and some more words"))
    usage = whole.usage
    receipt = await caller.receipt(whole.id)
    assert usage.cache_read_input_tokens == receipt["native_tokens_cached"] == 4
    assert usage.input_tokens + 4 == receipt["tokens_prompt"]


async def test_a_tool_is_called_answered_and_the_answer_used(caller: Caller) -> None:
    def talk(client: Anthropic) -> tuple[Message, Message]:
        turns: list[MessageParam] = [{"role": "user", "content": "[ids=x] [tools=2] Pune?"}]
        fields: dict[str, Any] = {"model": "openai/gpt-5.4-mini", "max_tokens": 99, "tools": [WEATHER]}
        with client.messages.stream(messages=turns, **fields) as stream:
            first = stream.get_final_message()
        results: Any = [
            {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": "31"}, PNG]}
            for block in first.content
            if block.type == "tool_use"
        ]
        turns += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
        return first, client.messages.create(messages=turns, **fields)

    first, second = await with_sdk(caller, talk)
    calls = [block for block in first.content if block.type == "tool_use"]
    assert (first.stop_reason, [call.input for call in calls]) == ("tool_use", [{"city": "Pune"}] * 2)
    assert (second.stop_reason, second.content[0].type) == ("end_turn", "text")
    _, said, *results, images = caller.upstream()[-1].body["messages"]
    assert [call["id"] for call in said["tool_calls"]] == [call.id for call in calls]
    assert [result["tool_call_id"] for result in results] == [call.id for call in calls]
    assert [part["type"] for part in images["content"]] == ["text", "image_url"] * 2


async def test_thinking_comes_back_to_its_provider_byte_for_byte(caller: Caller) -> None:
    def talk(client: Anthropic) -> Message:
        turns: list[MessageParam] = [{"role": "user", "content": "[mock=signed_thinking] [reasoning=5] [tokens=3]"}]
        with client.messages.stream(model=CLAUDE, max_tokens=2000, thinking=THINK, messages=turns) as stream:
            first = stream.get_final_message()
        turns += [{"role": "assistant", "content": first.content}, {"role": "user", "content": "[tokens=2] go on"}]
        for model in (CLAUDE, "kimi-k2.6"):
            client.messages.create(model=model, max_tokens=2000, thinking=THINK, messages=turns)
        return first

    first = await with_sdk(caller, talk)
    thought, hidden, said = (block.to_dict() for block in first.content)
    assert (thought["signature"], hidden["data"], said["type"]) == (SIGNATURE, ENCRYPTED, "text")
    made_by, other = (record.body["messages"][1] for record in caller.upstream()[-2:])
    assert made_by["reasoning_details"] == [
        {"type": "reasoning.text", "text": thought["thinking"], "signature": SIGNATURE}
        | {"format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": ENCRYPTED, "format": "anthropic-claude-v1", "index": 1},
    ]
    assert other == {"role": "assistant", "content": made_by["content"]}
    assert caller.upstream()[-2].body["reasoning"] == {"max_tokens": 1024}


async def test_a_model_that_signs_nothing_gets_its_own_thinking_back(caller: Caller) -> None:
    def talk(client: Anthropic) -> Message:
        turns: list[MessageParam] = [{"role": "user", "content": "[reasoning=5] [tokens=3]"}]
        first = client.messages.create(model="kimi-k2.6", max_tokens=2000, thinking=THINK, messages=turns)
        turns += [{"role": "assistant", "content": first.content}, {"role": "user", "content": "[tokens=2] go on"}]
        for model in ("kimi-k2.6", CLAUDE):
            client.messages.create(model=model, max_tokens=2000, messages=turns)
        return first

    first = await with_sdk(caller, talk)
    assert first.content[0].type == "thinking"
    same, other = (record.body["messages"][1] for record in caller.upstream()[-2:])
    assert same["reasoning_content"] == first.content[0].thinking
    assert other == {"role": "assistant", "content": same["content"]}


async def test_thinking_is_off_where_it_was_switched_off_and_hidden_where_it_was_not_asked_for(caller: Caller) -> None:
    off, _ = await both(caller, **asked("[reasoning=9] [tokens=2]", thinking={"type": "disabled"}))
    hidden, _ = await both(caller, **asked("[reasoning=9] [tokens=2]", output_config={"effort": "high"}))
    assert [block.type for block in (*off.content, *hidden.content)] == ["text", "text"]
    assert (off.usage.output_tokens, hidden.usage.output_tokens) == (2, 11)


async def test_an_image_reaches_a_model_that_sees(caller: Caller) -> None:
    content: Any = [{"type": "text", "text": "What?"}, PNG]
    await both(caller, **{**asked("", "openai/gpt-5.4-mini"), "messages": [{"role": "user", "content": content}]})
    assert caller.upstream()[-1].body["messages"][0]["content"][1]["image_url"] == {"url": "data:image/png;base64,aGk="}


async def test_tokens_are_counted_free_and_without_a_provider(caller: Caller) -> None:
    def count(client: Anthropic) -> tuple[int, ...]:
        asks: Any = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "How many tokens are these?"}]}
        image: Any = {**asks, "messages": [{"role": "user", "content": [PNG]}]}
        counts = (
            client.messages.count_tokens(**asks),
            client.messages.count_tokens(**asks, tools=[WEATHER], system="Be brief."),
            client.messages.count_tokens(**image),
        )
        return tuple(count.input_tokens for count in counts)

    plain, more, image = await with_sdk(caller, count)
    assert plain < more
    assert 258 <= image < 258 + 10
    assert (caller.upstream(), caller.books().calls) == ([], 0)


async def test_one_key_lists_models_by_both_sdks(caller: Caller) -> None:
    def by_openai() -> list[str]:
        with OpenAI(api_key=caller.house.customer.key, base_url=f"{caller.house.url}/v1") as client:
            return [model.id for model in client.models.list()]

    listed = [await with_sdk(caller, lambda client: list(client.models.list()), path) for path in PATHS]
    ids = [model.id for model in listed[0]]
    assert listed[0] == listed[1] == listed[2]
    assert ids == await trio.to_thread.run_sync(by_openai)
    one = await with_sdk(caller, lambda client: client.models.retrieve(CLAUDE))
    assert (one.type, one.display_name, one.lifecycle) == ("model", "Claude Sonnet 4.6", "active")
    assert one in listed[0]


async def test_beta_calls_of_any_version_are_served(caller: Caller) -> None:
    def ask(client: Anthropic) -> tuple[str, ...]:
        texts = []
        for version in ("2023-06-01", "2026-10-21"):
            message = client.beta.messages.create(
                **asked("[tokens=2]"),
                extra_body={"temperature": 0.5},
                betas=["some-beta-2026-01-01"],
                extra_headers={"anthropic-version": version},
            )
            texts.append(message.content[0].to_dict()["text"])
        return tuple(texts)

    assert await with_sdk(caller, ask) == ("The market", "The market")


async def test_heartbeats_do_not_change_what_the_sdk_reads(database_url: str) -> None:
    async with open_caller(database_url, heartbeat_s=0.1) as caller:
        whole, final = await both(caller, **asked("[first=450] [tokens=6]"))
        assert shape(whole) == shape(final)


@pytest.mark.filterwarnings(r"ignore:Async generator '(anthropic|httpx2|httpcore2)\.:ResourceWarning")
async def test_the_async_sdk_runs_on_trio(caller: Caller) -> None:
    await check_async(caller)


async def test_the_async_sdk_runs_on_asyncio(caller: Caller) -> None:
    await trio.to_thread.run_sync(lambda: asyncio.run(check_async(caller)))


async def check_async(caller: Caller) -> None:
    async with AsyncAnthropic(api_key=caller.house.customer.key, base_url=caller.house.url) as client:
        whole = await client.messages.create(**asked("[ids=a] [tools=1]", tools=[WEATHER]))
        async with client.messages.stream(**asked("[ids=a] [tools=1]", tools=[WEATHER])) as stream:
            final = await stream.get_final_message()
        assert shape(whole) == shape(final)
        assert "auto" in [model.id async for model in client.models.list()]
