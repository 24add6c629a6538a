"""Questions for a dialect, and the request that it makes of them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.providers.dialect import ChatAsk, Dialect

HELLO: Final = [{"role": "user", "content": "Hello"}]

PICTURE: Final = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}

QUESTION: Final = {"type": "text", "text": "What is it?"}


def ask(messages: list[Any] | None = None, model: str = "m", **fields: Any) -> ChatAsk:
    return ChatAsk(model, {"messages": messages or HELLO, **fields}, "salt")


def body_of(dialect: Dialect, question: ChatAsk) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(dialect.chat(question).body)
    return body


def headers_of(dialect: Dialect, question: ChatAsk) -> dict[bytes, bytes]:
    return dict(dialect.chat(question).headers)
