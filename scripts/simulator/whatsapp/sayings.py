"""What a user can say, whoever the provider is: the words of the desk `POST /whatsapp/say`."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import msgspec

from scripts.simulator import sound
from scripts.simulator.media import PNG

Kind = Literal[
    "text",
    "image",
    "voice",
    "audio",
    "video",
    "document",
    "sticker",
    "location",
    "contacts",
    "button",
    "list",
    "template_button",
    "flow",
    "order",
    "reaction",
    "edit",
    "revoke",
    "system",
    "unsupported",
    "welcome",
    "call",
    "echo",
    "raw",
]
WITH_FILE: Final = frozenset({"image", "voice", "audio", "video", "document", "sticker"})


class Who(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whoever writes; a user who hides the number has no phone."""

    phone: str = ""
    user_id: str = ""
    name: str = ""
    parent_id: str = ""


class Saying(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One message. `text` is body, caption, title of a choice or new text of an edit; `choice_id` belongs to a button
    or row; `message_id` is what a reaction, edit or revoke is about; `data` is a file in base64 (a small one is made
    up where it is left out, `ms` long if it is sound); `id` repeats an earlier message's; `fields` are the provider's
    own and win over all of it.
    """

    type: Kind = "text"
    text: str = ""
    id: str = ""
    at: float | None = None
    reply_to: str = ""
    choice_id: str = ""
    description: str = ""
    message_id: str = ""
    emoji: str = ""
    latitude: float = 0.0
    longitude: float = 0.0
    name: str = ""
    address: str = ""
    contacts: list[dict[str, Any]] = []
    items: list[dict[str, Any]] = []
    response: dict[str, Any] = {}
    referral: dict[str, Any] = {}
    forwarded: bool = False
    data: str = ""
    media_type: str = ""
    ms: int = 1500
    fields: dict[str, Any] = {}


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How it is posted. `batch`: all in one body, laid out as one list of messages, a change each, or an entry each.
    `duplicate`: each body so many times more. `together`: side by side, not one after the other. `at`: the Unix time
    that the messages carry.
    """

    batch: bool = False
    layout: Literal["message", "change", "entry"] = "message"
    duplicate: int = 0
    together: bool = False
    shuffle: bool = False
    bad_signature: bool | Literal["missing"] = False
    at: float | None = None
    standby: bool = False


class Attachment(NamedTuple):
    data: bytes
    media_type: str
    name: str


_MADE_UP: Final[dict[str, tuple[str, str, Callable[[int], bytes]]]] = {
    "image": ("image/png", "", lambda ms: PNG),
    "sticker": ("image/webp", "", lambda ms: b"RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00/" + bytes(13)),
    "voice": ("audio/ogg; codecs=opus", "", sound.opus),
    "audio": ("audio/mpeg", "", sound.mp3),
    "video": ("video/mp4", "", lambda ms: b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(64)),
    "document": ("application/pdf", "notes.pdf", lambda ms: b"%PDF-1.4\n%%EOF\n"),
}


def attachment(saying: Saying) -> Attachment | None:
    """The file that goes with it. Raises ValueError when `data` is no base64."""
    if saying.type not in WITH_FILE:
        return None
    media_type, name, make = _MADE_UP[saying.type]
    data = b64decode(saying.data, validate=True) if saying.data else make(saying.ms)
    return Attachment(data, saying.media_type or media_type, saying.name or name)
