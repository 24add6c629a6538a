"""Chat requests and their pieces for the tests of the chat modules."""

from __future__ import annotations

import json
from typing import Any

from app.core.chat import ChatRequest, parse_chat

HI = {"role": "user", "content": "hi"}


def parse(**fields: Any) -> ChatRequest:
    return parse_chat(json.dumps({"messages": [HI]} | fields).encode())


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def call(id: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def image(url: str) -> dict[str, Any]:
    return {
        "role": "user",
        "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": url}}],
    }


SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}

#: A good request with something in every place that has a rule.
FULL: dict[str, Any] = {
    "model": "m",
    "messages": [
        HI,
        image("https://e/x.png"),
        {"role": "assistant", "content": None, "tool_calls": [call("a")]},
        {"role": "tool", "content": "42", "tool_call_id": "a"},
    ],
    "stream": True,
    "stream_options": {"include_usage": True},
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {"1": 1},
    "stop": ["a"],
    "tools": [tool("f")],
    "tool_choice": tool("f"),
    "response_format": SCHEMA,
    "structured_outputs": True,
    "models": ["b"],
    "plugins": ["web", {"id": "file-parser"}],
    "transforms": ["middle-out"],
    "provider": {"sort": "price", "order": ["a"], "max_price": {"input": 1, "output": 2}},
    "reasoning": {"effort": "high", "max_tokens": 5},
}
