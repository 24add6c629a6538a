"""What goes out, as its row keeps it: a kind, and JSON. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.providers.whatsapp.line import (
    ChoiceContent,
    Content,
    InteractiveContent,
    MediaContent,
    ReactionContent,
    TemplateContent,
    TextContent,
)

_KINDS: Final[dict[str, type[Content]]] = {
    "text": TextContent,
    "template": TemplateContent,
    "media": MediaContent,
    "choice": ChoiceContent,
    "interactive": InteractiveContent,
    "reaction": ReactionContent,
}
_NAMES: Final = {content: kind for kind, content in _KINDS.items()}


class _Beside(msgspec.Struct, omit_defaults=True):
    """What a row says besides its content."""

    #: Provider id of the message that this one answers.
    reply_to: str = ""


def write(content: Content, *, reply_to: str = "") -> tuple[str, str]:
    """(kind, body). `reply_to` is the provider's id of the message that it answers."""
    fields: dict[str, Any] = msgspec.to_builtins(content)
    beside: dict[str, Any] = msgspec.to_builtins(_Beside(reply_to=reply_to))
    return _NAMES[type(content)], msgspec.json.encode(fields | beside).decode()


def read(kind: str, body: str) -> Content:
    """Raises ValueError for what this version does not know."""
    content = _KINDS.get(kind)
    if content is None:
        raise ValueError(f"no content of the kind {kind!r}")
    read: Content = msgspec.json.decode(body, type=content)
    return read


def answered(body: str) -> str:
    """Provider id of the message that this one answers, "" for none."""
    return msgspec.json.decode(body, type=_Beside).reply_to
