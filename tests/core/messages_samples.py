"""Messages requests to take apart: blocks, turns, and a whole body around them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
WEATHER = {"name": "get_weather", "description": "Now", "input_schema": {"type": "object", "properties": {}}}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


def request(*messages: Json, **fields: Any) -> Json:
    return {"model": "m", "max_tokens": 100, "messages": list(messages) or [user("hi")], **fields}


def user(*content: Any) -> Json:
    return {"role": "user", "content": content[0] if isinstance(content[0], str) else list(content)}


def assistant(*content: Any) -> Json:
    return {"role": "assistant", "content": list(content)}


def text(words: str, **more: Any) -> Json:
    return {"type": "text", "text": words, **more}
