"""A request body that is read while it is sent: bytes of ours around parts of an upload, plain or as base64.

It is read by position, so that it can be sent again to another route.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Final, Protocol

from app.providers.dialect import Outgoing

#: How much of an upload is in memory at a time; a multiple of 3, so that base64 needs no padding between pieces.
PIECE_BYTES: Final = 96 * 1024


class Source(Protocol):
    """What an upload is read from."""

    async def read(self, at: int, size: int) -> bytes:
        """At most `size` bytes from position `at`."""


@dataclass(frozen=True, slots=True)
class Part:
    """`size` bytes of an upload from `start`."""

    source: Source
    start: int
    size: int
    base64: bool = False

    @property
    def length(self) -> int:
        """As sent."""
        return -(-self.size // 3) * 4 if self.base64 else self.size

    async def read(self, at: int) -> bytes:
        """A piece from position `at` of what is sent, which is where a piece has ended."""
        at = at // 4 * 3 if self.base64 else at
        data = await self.source.read(self.start + at, min(PIECE_BYTES, self.size - at))
        return b64encode(data) if self.base64 else data


@dataclass(frozen=True, slots=True)
class StreamedBody:
    """Parts in the order in which they are sent."""

    parts: tuple[bytes | Part, ...]

    @property
    def length(self) -> int:
        return sum(len(part) if isinstance(part, bytes) else part.length for part in self.parts)

    async def read(self, at: int) -> bytes:
        """The piece that begins at `at`, b"" at the end."""
        for part in self.parts:
            length = len(part) if isinstance(part, bytes) else part.length
            if at < length:
                return part[at:] if isinstance(part, bytes) else await part.read(at)
            at -= length
        return b""


@dataclass(frozen=True, slots=True)
class Uploading:
    """An `Outgoing` whose body is streamed."""

    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: StreamedBody
    dropped: tuple[str, ...] = ()


Question = Outgoing | Uploading
