"""The official OpenAI SDK against the whole gateway: the documents' examples, streams, tools, vision, models."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
import trio
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from tests.certificate import self_signed
from tests.e2e.calling import Caller, open_caller

T = TypeVar("T")
CAPITAL = "The market opens before the sun is up"
#: The async SDK stops reading its own generators at `[DONE]`, which Trio remarks upon.
half_read = pytest.mark.filterwarnings(r"ignore:Async generator '(openai|httpx2|httpcore2)\.:ResourceWarning")
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

BASIC = """
from openai import OpenAI
client = OpenAI(
    api_key="cm_your_key",
    base_url="https://api.callmissed.com/v1"
)
response = client.chat.completions.create(
    model="sarvam-30b",
    messages=[
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the capital of India?"}
    ]
)
print(response.choices[0].message.content)
"""
STREAMING = """
from openai import OpenAI
client = OpenAI(
    api_key="cm_your_key",
    base_url="https://api.callmissed.com/v1",
)
# stream=True is the default in the Anthropic SDK; explicit here.
stream = client.chat.completions.create(
    model="gpt-oss-120b",
    messages=[{"role": "user", "content": "Explain quicksort in one paragraph."}],
    stream=True,
)
for chunk in stream:
    delta = chunk.choices[0].delta.content or ""
    print(delta, end="", flush=True)
"""
FRONTIER = """
from openai import OpenAI
client = OpenAI(api_key="cm_your_key", base_url="https://api.callmissed.com/v1")
response = client.chat.completions.create(
    model="openai/gpt-5.4",
    messages=[{"role": "user", "content": "[tag=frontier] hi"}],
    extra_body={
        "provider": {"sort": "throughput", "order": ["openai"]},
        "models": ["openai/gpt-5.4-mini"],
    },
)
print(response.model, response.choices[0].message.content)
"""
VISION = """
from openai import OpenAI
client = OpenAI(api_key="cm_your_key", base_url="https://api.callmissed.com/v1")
resp = client.chat.completions.create(
    model="anthropic/claude-sonnet-4.6", # supports_vision: true
    messages=[{
        "role": "user",
        "content": [
            {"type": "text", "text": "What is in this image?"},
            {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        ],
    }],
)
print(resp.choices[0].message.content)
"""
MODEL_LIST = """
from openai import OpenAI
client = OpenAI(api_key="cm_your_key", base_url="https://api.callmissed.com/v1")
for m in client.models.list():
    extra = m.model_extra or {}
    print(m.id, extra.get("context_window"), extra.get("supports_vision"))
"""


def run_example(source: str, caller: Caller, http: httpx2.Client | None = None) -> str:
    """What an example prints, with this key and base URL and nothing else changed (`http`: another transport)."""
    source = source.replace("cm_your_key", caller.house.customer.key)
    source = source.replace("https://api.callmissed.com", caller.house.url)
    names: dict[str, Any] = {"transport": http}
    if http is not None:
        source = source.replace("OpenAI(", "OpenAI(http_client=transport, ")
        source = source.replace("import OpenAI(http_client=transport, ", "import OpenAI(")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(source, names)  # noqa: S102 - the text above
    names["client"].close()
    return printed.getvalue()


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
    printed = await trio.to_thread.run_sync(run_example, BASIC, caller)
    assert printed.startswith(CAPITAL)
    assert caller.upstream()[-1].dialect == "sarvam"


async def test_the_streaming_example_runs(caller: Caller) -> None:
    printed = await trio.to_thread.run_sync(run_example, STREAMING, caller)
    assert printed.startswith(CAPITAL)
    assert caller.upstream()[-1].model == "@cf/openai/gpt-oss-120b"


async def test_the_frontier_example_runs_and_its_preferences_reach_the_provider(caller: Caller) -> None:
    printed = await trio.to_thread.run_sync(run_example, FRONTIER, caller)
    assert printed.startswith(f"openai/gpt-5.4 {CAPITAL}")
    (record,) = caller.upstream("frontier")
    assert record.body["provider"] == {"sort": "throughput", "order": ["openai"]}
    assert "models" not in record.body


async def test_the_vision_example_runs_and_the_image_reaches_the_provider(caller: Caller) -> None:
    await trio.to_thread.run_sync(run_example, VISION, caller)
    content = caller.upstream()[-1].body["messages"][0]["content"]
    assert content[1] == {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}


async def test_the_model_list_example_prints_window_and_vision_of_every_model(caller: Caller) -> None:
    printed = await trio.to_thread.run_sync(run_example, MODEL_LIST, caller)
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
    for streamed, call in zip(final.choices[0].message.tool_calls or [], whole.choices[0].message.tool_calls or [], strict=True):
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


async def test_heartbeats_do_not_change_what_the_sdk_reads(tmp_path: Path) -> None:
    async with open_caller(tmp_path, heartbeat_s=0.1) as caller:

        def read(client: OpenAI) -> tuple[int, str]:
            stream = client.chat.completions.create(
                model="kimi-k2.6", messages=say("[first=450] [tokens=6]"), stream=True
            )
            pieces = [chunk.choices[0].delta for chunk in stream]
            return sum(piece.content is None for piece in pieces), "".join(piece.content or "" for piece in pieces)

        silent, text = await with_sdk(caller, read)
    assert silent >= 3
    assert text == "The market opens before the sun"


@half_read
async def test_the_async_sdk_runs_on_trio(caller: Caller) -> None:
    await check_async(caller)


async def test_the_async_sdk_runs_on_asyncio(caller: Caller) -> None:
    await trio.to_thread.run_sync(lambda: asyncio.run(check_async(caller)))


async def check_async(caller: Caller) -> None:
    async with AsyncOpenAI(api_key=caller.house.customer.key, base_url=f"{caller.house.url}/v1") as client:
        whole = await client.chat.completions.create(model="sarvam-30b", messages=say("[tokens=5]"))
        stream = await client.chat.completions.create(model="sarvam-30b", messages=say("[tokens=5]"), stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == whole.choices[0].message.content == "The market opens before the"
        assert "auto" in [model.id async for model in client.models.list()]


def run_over_http2(caller: Caller, **transport: Any) -> list[str]:
    """The HTTP versions of the basic and the streaming example's replies."""
    versions: list[str] = []
    hooks = {"response": [lambda response: versions.append(response.http_version)]}
    for example in (BASIC, STREAMING):
        with httpx2.Client(http2=True, event_hooks=hooks, **transport) as http:
            assert run_example(example, caller, http).startswith(CAPITAL)
    return versions


async def test_the_examples_run_over_http2_with_prior_knowledge(caller: Caller) -> None:
    versions = await trio.to_thread.run_sync(lambda: run_over_http2(caller, http1=False))
    assert versions == ["HTTP/2", "HTTP/2"]


async def test_the_examples_run_over_tls_where_http2_is_negotiated(tmp_path: Path) -> None:
    files: dict[str, Any] = self_signed(tmp_path)
    trust = ssl.create_default_context(cafile=files["certfile"])
    async with open_caller(tmp_path, **files) as caller:
        assert caller.house.url.startswith("https://")
        versions = await trio.to_thread.run_sync(lambda: run_over_http2(caller, verify=trust))
    assert versions == ["HTTP/2", "HTTP/2"]


@half_read
async def test_one_http2_connection_carries_many_calls_at_once(caller: Caller) -> None:
    async with (
        httpx2.AsyncClient(http1=False, http2=True, timeout=10) as http,
        AsyncOpenAI(api_key=caller.house.customer.key, base_url=f"{caller.house.url}/v1", http_client=http) as client,
    ):
        texts: list[str] = []

        async def read() -> None:
            stream = await client.chat.completions.create(
                model="kimi-k2.6", messages=say("[pace=100] [tokens=20]"), stream=True
            )
            texts.append("".join([chunk.choices[0].delta.content or "" async for chunk in stream]))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(read)
    assert len(set(texts)) == 1
    assert len(texts) == 20
