"""What the phone has received, as lines of a terminal. Files are put into a folder, their paths shown."""

from __future__ import annotations

import base64
import mimetypes
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple

from tinytag import TinyTag, TinyTagException

from scripts.chatting.orders import Offer

#: Types whose usual ending is not the one that players know.
ENDINGS: Final = {"audio/ogg": ".ogg", "image/jpeg": ".jpg", "audio/mpeg": ".mp3"}
LONGEST_SIGN: Final = 40


class Shown(NamedTuple):
    """`said` is what a transcript keeps, `beside` what only a person who looks on wants to see."""

    said: Sequence[str] = ()
    beside: Sequence[str] = ()


#: The file of an id, as the simulator's desk gives it away.
Fetch = Callable[[str], Mapping[str, Any]]


@dataclass(slots=True)
class Screen:
    """Shows the items of one phone in order; `offer` are the choices that can be tapped now."""

    bot: str
    fetch: Fetch
    folder: Callable[[], Path]
    offer: Offer | None = None
    _is_typing: bool = False

    def spoken(self) -> None:
        """The user has said something: earlier choices are not meant by a number any more."""
        self.offer = None
        self._is_typing = False

    def show(self, item: Mapping[str, Any]) -> Shown:
        kind = item["type"]
        if kind == "read":
            return Shown(beside=["✓✓ read"])
        if kind == "typing":
            shown = Shown() if self._is_typing else Shown(beside=[f"{self.bot} is typing…"])
            self._is_typing = True
            return shown
        self._is_typing = False
        return Shown(self._said(kind, item))

    def _said(self, kind: str, item: Mapping[str, Any]) -> list[str]:
        match kind:
            case "image" | "audio" | "video" | "document" | "sticker":
                return self._file(kind, item)
            case "interactive":
                return self._choices(item)
            case "reaction":
                return [f"[reaction {_clean(item['text'])}]"]
            case "call":
                return [f"[call: {_clean(item['action'])}]"]
            case _:
                return _clean(item["text"]).split("\n")

    def _choices(self, item: Mapping[str, Any]) -> list[str]:
        choices = [(choice["id"], choice["title"]) for choice in item["choices"]]
        kind = "list" if item["body"].get("type") == "list" else "button"
        self.offer = Offer(item["id"], "list" if kind == "list" else "button", choices)
        signs = [f"[{number}] {_clean(title)}" for number, (_, title) in enumerate(choices, 1)]
        is_short = kind == "button" and all(len(sign) <= LONGEST_SIGN for sign in signs)
        return [*_clean(item["text"]).split("\n"), *(["   ".join(signs)] if is_short else signs)]

    def _file(self, kind: str, item: Mapping[str, Any]) -> list[str]:
        media, caption = item["media"], _clean(item["text"])
        name = "voice note" if media.get("voice") else kind
        if "link" in media:
            lines = [f"[{name}] {_clean(media['link'])}"]
        else:
            file = self.fetch(media["id"])
            data = base64.b64decode(file["data"])
            length = f", {seconds:.1f} s" if kind == "audio" and (seconds := seconds_of(data)) is not None else ""
            lines = [f"[{name}{length}] {self._kept(media['id'], file['media_type'], data)}"]
        return [*lines, *(caption.split("\n") if caption else [])]

    def _kept(self, file_id: str, media_type: str, data: bytes) -> Path:
        plain = media_type.partition(";")[0].strip()
        ending = ENDINGS.get(plain) or mimetypes.guess_extension(plain) or ""
        path = self.folder() / f"{''.join(filter(str.isalnum, file_id))}{ending}"
        path.write_bytes(data)
        return path


def seconds_of(sound: bytes) -> float | None:
    """How long a recording is; None when that cannot be told."""
    try:
        return TinyTag.get("note", file_obj=BytesIO(sound)).duration
    except TinyTagException:
        return None


def _clean(text: str) -> str:
    """Without characters that would move a terminal's cursor."""
    return "".join(each for each in text.replace("\r\n", "\n") if each in "\n\t" or unicodedata.category(each) != "Cc")
