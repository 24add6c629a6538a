"""Many alike pieces of bytes as one short text: packed as they come, so that neither memory nor the loop notices."""

from __future__ import annotations

import base64
import zlib
from typing import Final

#: Pieces are packed so many bytes at a time: at once that takes a tenth of a millisecond.
PORTION: Final = 16 * 1024
#: The quickest level and a window of 4 KB: events repeat themselves within a few hundred bytes.
LEVEL, WINDOW, MEMORY = 1, 12, 5


class Packer:
    """`add` each piece, then `text` or `data` once."""

    __slots__ = ("_packed", "_pieces", "_waiting", "_zip")

    def __init__(self) -> None:
        self._zip = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW, MEMORY)
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._packed: list[bytes] = []

    def add(self, piece: bytes) -> bytes:
        """Take a piece in; gives it back."""
        self._pieces.append(piece)
        self._waiting += len(piece)
        if self._waiting >= PORTION:
            self._pack()
        return piece

    def text(self) -> str:
        """All pieces, as text that `unpack` understands."""
        return base64.b64encode(self.data()).decode()

    def data(self) -> bytes:
        """All pieces, as zlib packs them."""
        self._pack()
        return b"".join(self._packed) + self._zip.flush()

    def _pack(self) -> None:
        self._packed.append(self._zip.compress(b"".join(self._pieces)))
        self._pieces.clear()
        self._waiting = 0


def unpack(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
