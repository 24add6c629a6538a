"""The answer of a request under an idempotency key, as it is kept: its head as a line of JSON, then its bytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

import msgspec

from app.core.packing import Packer

#: Bytes of an answer beyond which it is not kept.
LARGEST: Final = 16 * 1024 * 1024
#: More than this is not packed in one go: pictures and vectors shrink by a quarter and take a tenth of a second for it.
PACKED_WHOLE: Final = 256 * 1024
#: What a repeat is told again. Limits, times and ids of the request are its own.
KEPT_HEADERS: Final = frozenset(
    {
        *("content-type", "content-disposition", "cache-control", "location", "x-accel-buffering", "x-should-retry"),
        *("x-generation-id", "x-cm-provider", "x-cm-attempts", "x-cm-dropped-params"),
    }
)
Headers = list[tuple[bytes, bytes]]


class KeptReply(msgspec.Struct, frozen=True):
    """An answer that can be given again."""

    status: int
    headers: Headers
    body: bytes


class ReplyPacker:
    """Takes an answer in as it is sent: `begin`, `add` each piece, `data` once."""

    __slots__ = ("_packer", "_size")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._packer: Packer | None = Packer()
        self._packer.add(_head(headers))
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > LARGEST:
            self._packer = None
        if self._packer is not None:
            self._packer.add(piece)

    def data(self) -> bytes:
        """The whole, b"" when it is too large to be kept."""
        return b"" if self._packer is None else self._packer.data()


def pack_whole(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    """The same for an answer that is there at once."""
    if len(body) > LARGEST:
        return b""
    return zlib.compress(_head(headers) + body, 1 if len(body) <= PACKED_WHOLE else 0)


def unpack_reply(status: int, data: bytes) -> KeptReply:
    head, _, body = zlib.decompress(data).partition(b"\n")
    headers = [(name.encode("latin1"), value.encode("latin1")) for name, value in _read_head(head)]
    return KeptReply(status, headers, body)


def _head(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    named = [(name.decode("latin1"), value.decode("latin1")) for name, value in headers]
    return msgspec.json.encode([pair for pair in named if pair[0] in KEPT_HEADERS]) + b"\n"


_read_head = msgspec.json.Decoder(list[tuple[str, str]]).decode
