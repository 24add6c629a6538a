"""What is in a message of Meta: its kind, what can be read of it, its file, its choice (wire/whatsapp-meta.md §6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from channels.whatsapp import lenient, one_line
from channels.whatsapp.lenient import identifier, mapping, sha256_hex, text
from channels.whatsapp.updates import Media, MessageKind

LONGEST_FILE_NAME: Final = 255


class Contents(NamedTuple):
    """As `updates.Message` has them."""

    kind: MessageKind
    text: str = ""
    media: Media | None = None
    choice_id: str = ""


_UNSUPPORTED: Final = Contents("unsupported")


def read_contents(raw: Mapping[str, Any]) -> Contents:
    """A type that is not known, or has nothing of what it should have, is `unsupported`."""
    kind = raw.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    return reader(raw.get(str(kind))) if reader else _UNSUPPORTED


def _text(part: object) -> Contents:
    body = text(mapping(part).get("body"))
    return Contents("text", body) if body.strip() else _UNSUPPORTED


def _file(kind: MessageKind) -> Callable[[object], Contents]:
    def read(part: object) -> Contents:
        raw = mapping(part)
        caption, url = text(raw.get("caption")), text(raw.get("url"), lenient.LONGEST_URL + 1)
        media = Media(
            identifier(raw.get("id")),
            lenient.line(raw.get("mime_type")),
            sha256_hex(raw.get("sha256")),
            url if len(url) <= lenient.LONGEST_URL else "",
            lenient.line(raw.get("filename"), LONGEST_FILE_NAME),
        )
        if not media.id and not media.url:
            return Contents("unsupported", caption)
        return Contents("voice" if kind == "audio" and raw.get("voice") is True else kind, caption, media)

    return read


def _said(kind: MessageKind, words: str) -> Contents:
    return Contents(kind, words) if words else _UNSUPPORTED


def _location(part: object) -> Contents:
    return _said("location", one_line.location(mapping(part)))


def _contacts(part: object) -> Contents:
    return _said("contacts", one_line.contacts(part))


def _order(part: object) -> Contents:
    return _said("order", one_line.order(mapping(part)))


def _choice(kind: MessageKind, title: object, choice_id: object) -> Contents:
    """A choice is known by its id even where its title is missing."""
    chosen = text(choice_id, lenient.LONGEST_LINE)
    words = text(title) or chosen
    return Contents(kind, words, choice_id=chosen) if words else _UNSUPPORTED


def _button(part: object) -> Contents:
    raw = mapping(part)
    return _choice("button", raw.get("text"), raw.get("payload"))


def _interactive(part: object) -> Contents:
    raw = mapping(part)
    match raw.get("type"):
        case "button_reply":
            reply = mapping(raw.get("button_reply"))
            return _choice("button", reply.get("title"), reply.get("id"))
        case "list_reply":
            reply = mapping(raw.get("list_reply"))
            return _choice("list", reply.get("title"), reply.get("id"))
        case "nfm_reply":
            return _flow(mapping(raw.get("nfm_reply")))
        case _:
            return _UNSUPPORTED


def _flow(reply: Mapping[str, Any]) -> Contents:
    """Meta writes the response as JSON in a text; an object is taken too."""
    response = reply.get("response_json")
    if type(response) is dict:
        response = msgspec.json.encode(lenient.kept(response)).decode()
    return _said("flow", text(response) or text(reply.get("body")))


def _welcome(_: object) -> Contents:
    return Contents("welcome")


_READERS: Final[Mapping[str, Callable[[object], Contents]]] = {
    "text": _text,
    "image": _file("image"),
    "audio": _file("audio"),
    "video": _file("video"),
    "document": _file("document"),
    "sticker": _file("sticker"),
    "location": _location,
    "contacts": _contacts,
    "interactive": _interactive,
    "button": _button,
    "order": _order,
    "request_welcome": _welcome,
}
