"""The official OpenAI SDK over everything it can run on: Trio, asyncio, HTTP/2 in clear text and over TLS."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.certificate import self_signed
from tests.e2e.calling import Caller, open_caller
from tests.e2e.examples import BASIC, CAPITAL, STREAMING, run_example

#: The async SDK stops reading its own generators at `[DONE]`, which Trio remarks upon.
half_read = pytest.mark.filterwarnings(r"ignore:Async generator '(openai|httpx2|httpcore2)\.:ResourceWarning")


def say(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


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
            assert run_example(example, caller.house, http).startswith(CAPITAL)
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
