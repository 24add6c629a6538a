"""What a typed line means: a message, a choice that is tapped, a file, or a word for the chat itself."""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from app.commands import Mendable

MB: Final = 1 << 20
HELP: Final = """\
  TEXT                    send it
  NUMBER                  tap the choice with this number, as long as nothing else was said
  /image [FILE [TEXT]]    send a JPEG or PNG, with a caption; without a file a made-up one
  /voice [FILE]           send a recording; ogg with opus is a voice note; without a file a made-up one
  /location [LAT,LONG]    send a place
  /resume                 let the bot answer again after it has handed over to a person
  /help                   show this
  /quit                   leave; so do Ctrl-C and Ctrl-D
"""
#: What WhatsApp takes of each, in bytes (wire/whatsapp-meta.md section 10).
LARGEST: Final[Mapping[str, int]] = {"image": 5 * MB, "voice": 16 * MB}
IMAGES: Final[Mapping[bytes, str]] = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
VOICE: Final = "audio/ogg; codecs=opus"
JAIPUR: Final = "26.9239,75.8267"
_PLACE: Final = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*")

Word = Literal["quit", "help", "resume", "nothing"]


class Mistyped(Mendable):
    """A line that cannot be followed; the text says why."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Choices that the bot has shown last: (id, title) of each, in the message `message_id`."""

    message_id: str
    kind: Literal["button", "list"]
    choices: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to send: `saying` is what the simulator's desk takes, `shown` what a transcript says of it."""

    shown: str
    saying: dict[str, Any] = field(default_factory=dict)


def read_line(line: str, offer: Offer | None = None) -> Letter | Word:
    """Raises Mistyped."""
    text = line.strip()
    if not text:
        return "nothing"
    if offer is not None and text.isdecimal() and 1 <= int(text) <= len(offer.choices):
        return _tap(offer, int(text) - 1)
    if not text.startswith("/"):
        return Letter(text, {"type": "text", "text": text})
    word, _, rest = text[1:].partition(" ")
    match word:
        case "image" | "voice":
            return _file(word, rest.strip())
        case "location":
            return _location(rest or JAIPUR)
        case "quit" | "help" | "resume":
            return word
        case _:
            raise Mistyped(f"There is no /{word} here; /help shows what there is.")


def _tap(offer: Offer, place: int) -> Letter:
    choice_id, title = offer.choices[place]
    saying = {"type": offer.kind, "choice_id": choice_id, "text": title, "reply_to": offer.message_id}
    return Letter(f"[{place + 1}] {title}", saying)


def _file(kind: str, rest: str) -> Letter:
    path, caption = _split(rest) if kind == "image" else (rest, "")
    if not path:
        return Letter(f"[{kind}, made up]", {"type": kind})
    try:
        data = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise Mistyped(f"{path} cannot be read: {error.strerror}.") from None
    if not 0 < len(data) <= LARGEST[kind]:
        raise Mistyped(f"{path} has {len(data):,} bytes; WhatsApp takes 1 to {LARGEST[kind]:,} of this kind.")
    real_kind, media_type = _image_type(path, data) if kind == "image" else _sound_type(path, data)
    saying = {"type": real_kind, "data": base64.b64encode(data).decode(), "media_type": media_type, "text": caption}
    return Letter(" ".join([f"[{kind}: {Path(path).name}]", *caption.split()]), saying)


def _split(rest: str) -> tuple[str, str]:
    """(path, caption); a path with blanks stands in quotes."""
    if quoted := re.fullmatch(r"""(["'])(.+?)\1\s*(.*)""", rest, re.DOTALL):
        return quoted[2], quoted[3]
    path, _, caption = rest.partition(" ")
    return path, caption.strip()


def _image_type(path: str, data: bytes) -> tuple[str, str]:
    for magic, media_type in IMAGES.items():
        if data.startswith(magic):
            return "image", media_type
    raise Mistyped(f"{path} is neither a JPEG nor a PNG; WhatsApp takes no other images.")


def _sound_type(path: str, data: bytes) -> tuple[str, str]:
    if data.startswith(b"OggS"):
        return "voice", VOICE
    guessed = mimetypes.guess_type(path)[0] or ""
    if not guessed.startswith("audio/"):
        raise Mistyped(f"{path} is no recording: send ogg (opus), mp3, m4a, aac or amr.")
    return "audio", guessed


def _location(rest: str) -> Letter:
    found = _PLACE.fullmatch(rest)
    if found is None or abs(float(found[1])) > 90 or abs(float(found[2])) > 180:
        raise Mistyped(f"{rest.strip()} is no place: write degrees as in /location {JAIPUR}.")
    place = {"latitude": float(found[1]), "longitude": float(found[2])}
    return Letter(f"[location: {found[1]}, {found[2]}]", {"type": "location", **place})
