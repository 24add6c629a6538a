"""What holds for a letter whoever carries it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, assert_never

from app.providers.whatsapp.choices import numbered
from app.providers.whatsapp.line import (
    ChoiceContent,
    InteractiveContent,
    Letter,
    MediaContent,
    ReactionContent,
    Refused,
    TemplateContent,
    TextContent,
)

#: They are shown without words.
BARE: Final = frozenset({"audio", "sticker"})
KINDS: Final = frozenset({"type", "sub_type"})


def unsendable(code: str, message: str) -> Refused:
    """Our own no: what was asked for cannot be sent at all."""
    return Refused("content", code, message)


def checked_media(content: MediaContent) -> MediaContent:
    """Raises Refused for a file that is nowhere, or words that nobody would see."""
    if not (content.media_id or content.link):
        raise unsendable("no_media", "There is no file to send: neither an upload nor a link.")
    if content.caption and content.kind in BARE:
        raise unsendable("caption", f"WhatsApp shows no caption with {content.kind}. Send the text by itself.")
    return content


def encoded(write: Callable[[], bytes]) -> bytes:
    """What `write` gives. Raises Refused for text that has no UTF-8, which no provider takes."""
    try:
        return write()
    except UnicodeEncodeError:
        pass
    raise unsendable("encoding", "The text has half of a surrogate pair in it, which cannot be sent.")


def intimate(letter: Letter) -> Iterator[str]:
    """Who the user is and what the letter says: words that are kept out of every other text."""
    yield from (letter.to.phone, letter.to.phone.removeprefix("+"), letter.to.user_id)
    content = letter.content
    match content:
        case TextContent(body):
            yield body
        case MediaContent():
            yield from (content.caption, content.link, content.filename, content.otherwise)
        case ChoiceContent():
            yield from (numbered(content), content.body, *(title for _, title in content.choices))
        case TemplateContent():
            yield from _texts([*content.components, content.variables])
        case InteractiveContent(shown):
            yield from _texts(shown)
        case ReactionContent(_, emoji):
            yield emoji
        case _:
            assert_never(content)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value but those that say what kind of thing something is."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in KINDS:
                yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
