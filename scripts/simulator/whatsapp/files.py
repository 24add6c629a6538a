"""Files at the providers: those that users sent, those that the business uploaded, and links to them that expire."""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

MB: Final = 1 << 20
#: In all; the oldest leave first.
KEPT_BYTES: Final = 256 * MB
KEPT_LINKS: Final = 10_000
#: Meta's link to a file (wire/whatsapp-meta.md section 10).
LINK_S: Final = 300
UPLOADED_S: Final = 30 * 24 * 3600
RECEIVED_S: Final = 7 * 24 * 3600

Kind = Literal["audio", "image", "video", "document", "sticker"]
#: What may be uploaded or sent as what (section 10).
TYPES: Final[Mapping[Kind, tuple[int, Collection[str]]]] = {
    "audio": (16 * MB, {"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"}),
    "image": (5 * MB, {"image/jpeg", "image/png"}),
    "video": (16 * MB, {"video/mp4", "video/3gpp"}),
    "sticker": (MB // 2, {"image/webp"}),
    "document": (100 * MB, ()),
}


@dataclass(frozen=True, slots=True)
class File:
    """`owner` is the account of the number that may have it."""

    id: str
    owner: str
    data: bytes
    media_type: str
    name: str
    until: float

    @property
    def hex_hash(self) -> str:
        return sha256(self.data).hexdigest()

    @property
    def base64_hash(self) -> str:
        return b64encode(sha256(self.data).digest()).decode()


def plain_type(media_type: str) -> str:
    """Without its parameters: `audio/ogg; codecs=opus` is audio/ogg."""
    return media_type.partition(";")[0].strip().lower()


def kind_of(media_type: str) -> Kind:
    """What a file of this type is sent as, unless something else is said."""
    plain = plain_type(media_type)
    for kind, (_, types) in TYPES.items():
        if plain in types:
            return kind
    return "document"


class Files:
    """By id, and by the words in their links."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, File] = OrderedDict()
        self._links: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._size = 0

    def put(self, file: File) -> File:
        self._files[file.id] = file
        self._size += len(file.data)
        while self._size > KEPT_BYTES:
            self.drop(next(iter(self._files)))
        return file

    def get(self, file_id: str, now: float) -> File | None:
        file = self._files.get(file_id)
        return file if file is not None and now < file.until else None

    def drop(self, file_id: str) -> bool:
        file = self._files.pop(file_id, None)
        self._size -= len(file.data) if file else 0
        return file is not None

    def link(self, file: File, word: str, now: float) -> str:
        """The last part of a URL that gives this file for five minutes."""
        self._links[word] = (file.id, now + LINK_S)
        if len(self._links) > KEPT_LINKS:
            self._links.popitem(last=False)
        return word

    def linked(self, word: str, now: float) -> File | None:
        file_id, until = self._links.get(word, ("", 0.0))
        return self.get(file_id, now) if now < until else None
