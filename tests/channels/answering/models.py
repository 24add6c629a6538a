"""Models as the tests of turns need them: one that fails, one that hangs, one that calls the bot's function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio

from app.core.errors import Problem
from channels.answering.asking import ToolCall

TOOL = {"name": "price", "url": "https://shop.example/price", "description": "The price of a thing."}


async def fail(_body: dict[str, Any]) -> Any:
    raise Problem("provider_error", "All providers failed.")


def fails_once(problem: Problem) -> Callable[[dict[str, Any]], Awaitable[tuple[str, list[ToolCall]]]]:
    """One that answers when it is asked again."""
    failures = [problem]

    async def script(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        if failures:
            raise failures.pop()
        return "Hello!", []

    return script


async def hang(_body: dict[str, Any]) -> Any:
    await trio.sleep_forever()


async def hello_again(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
    return "Hello again!", []


def calls(*named: tuple[str, dict[str, Any]]) -> list[ToolCall]:
    return [
        ToolCall(f"call_{number}", name, msgspec.json.encode(arguments).decode())
        for number, (name, arguments) in enumerate(named)
    ]


async def asks_a_price(body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
    if body["messages"][-1]["role"] == "tool":
        return "It is 5.", []
    return "", calls(("price", {"thing": "tea"}))
