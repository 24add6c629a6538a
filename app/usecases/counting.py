"""Token counts that never stop the loop: small texts here, large ones in a worker thread."""

from __future__ import annotations

import trio

from app.core import tokens
from app.core.chat import ChatRequest, prompt_text_bytes


async def count_prompt(request: ChatRequest) -> int:
    size = request.body_bytes
    if size is None or size > tokens.LARGE_BYTES:
        size = prompt_text_bytes(request)
    if size <= tokens.LARGE_BYTES:
        return tokens.count_messages(request.messages, request.tools)
    return await trio.to_thread.run_sync(tokens.count_messages, request.messages, request.tools)


async def count_output(text: str) -> int:
    if len(text) <= tokens.LARGE_BYTES:
        return tokens.count_text(text)
    return await trio.to_thread.run_sync(tokens.count_text, text)
