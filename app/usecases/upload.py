"""An upload as it is kept for the length of its request: small ones in memory, others in a file without a name.

Never more than `MEMORY_BYTES` of it are held, whatever its size; it can be read again for another route.
"""

from __future__ import annotations

import hashlib
import tempfile
from io import BytesIO
from typing import BinaryIO, Final

import structlog
import trio

from app.core.errors import Problem
from app.core.recordings import Recording, measure

log = structlog.get_logger(__name__)
MEMORY_BYTES: Final = 64 * 1024


class Upload:
    """Write it to its end, `finish`, then read it at any place. Close it in any case."""

    def __init__(self) -> None:
        self.size = 0
        self._tail = bytearray()
        self._file: BinaryIO | None = None

    async def write(self, data: bytes) -> None:
        """Append. Raises Problem 503 when there is no room on the disk."""
        self.size += len(data)
        self._tail += data
        if len(self._tail) > MEMORY_BYTES:
            await self._spill()

    async def finish(self) -> None:
        """Nothing follows."""
        if self._file is not None and self._tail:
            await self._spill()

    async def read(self, at: int, size: int) -> bytes:
        """At most `size` bytes from position `at`, b"" behind the end."""
        file = self._file
        if file is None:
            return bytes(self._tail[at : at + size])
        return await trio.to_thread.run_sync(_read, file, at, size)

    async def digest(self) -> bytes:
        """SHA-256 of all of it."""
        return await trio.to_thread.run_sync(_digest, self._file or BytesIO(self._tail))

    async def measure(self) -> Recording:
        """What recording this is. Raises Problem 400 when it is none that can be used."""
        return await trio.to_thread.run_sync(measure, self._file or BytesIO(self._tail))

    def close(self) -> None:
        """The file is gone with its last handle."""
        if self._file is not None:
            self._file.close()

    async def _spill(self) -> None:
        data, self._tail = self._tail, bytearray()
        try:
            self._file = await trio.to_thread.run_sync(_append, self._file, data)
        except OSError as error:
            log.error("upload.no_room", error=repr(error))
            raise Problem("storage_unavailable", "The upload could not be kept. Try again.", retry_after_s=5) from None


def _append(file: BinaryIO | None, data: bytearray) -> BinaryIO:
    if file is None:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the upload
    file.seek(0, 2)
    file.write(data)
    file.flush()
    return file


def _digest(file: BinaryIO) -> bytes:
    digest = hashlib.sha256()
    file.seek(0)
    while data := file.read(MEMORY_BYTES):
        digest.update(data)
    return digest.digest()


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
