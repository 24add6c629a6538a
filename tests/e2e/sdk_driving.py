"""How one talk with the gateway is held by an official SDK in both of its kinds, the blocking one and the async one.

A talk is a generator: it yields what a method of the client returned and is sent what came of it. Only the drivers
know whether that must be awaited.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Final

import anthropic
import openai

Talk = Callable[[Any], Generator[Any, Any, None]]
REFUSALS: Final = (openai.APIError, anthropic.APIError)
#: What the SDKs' stream helpers call their last word.
FINALS: Final = ("get_final_completion", "get_final_response", "get_final_message")


def drive(client: Any, talk: Talk) -> None:
    """Hold the talk with a blocking client; an error of the SDK is raised by the client's own method."""
    steps = talk(client)
    with suppress(StopIteration):
        asked = next(steps)
        while True:
            asked = steps.send(_came(asked))


async def drive_async(client: Any, talk: Talk) -> None:
    """Hold it with an async client; an error of the SDK is raised where the talk waits."""
    steps = talk(client)
    with suppress(StopIteration):
        asked = next(steps)
        while True:
            try:
                came = await _came_async(asked)
            except REFUSALS as refusal:
                asked = steps.throw(refusal)
            else:
                asked = steps.send(came)


def _came(asked: Any) -> Any:
    """The events of a stream, the last word of a helper, the bytes of a streamed body, and anything else as it is."""
    if isinstance(asked, openai.Stream | anthropic.Stream):
        return list(asked)
    if not hasattr(asked, "__enter__"):
        return asked
    with asked as opened:
        return b"".join(opened.iter_bytes()) if hasattr(opened, "iter_bytes") else _final(opened)()


async def _came_async(asked: Any) -> Any:
    if inspect.isawaitable(asked):
        asked = await asked
    if isinstance(asked, openai.AsyncStream | anthropic.AsyncStream):
        return [event async for event in asked]
    if not hasattr(asked, "__aenter__"):
        return asked
    async with asked as opened:
        if hasattr(opened, "iter_bytes"):
            return b"".join([piece async for piece in opened.iter_bytes()])
        return await _final(opened)()


def _final(helper: Any) -> Any:
    """The method that gives it."""
    return next(getattr(helper, name) for name in FINALS if hasattr(helper, name))
