"""Files of messages: kept once they are fetched or made, read again when they are sent or shown, forgotten in time."""

from __future__ import annotations

import hashlib
from itertools import groupby
from operator import itemgetter
from typing import Final

import structlog
import trio

from app.core.errors import Problem
from app.core.identity import Clock, new_id, now_us
from app.core.times import DAY_US
from app.providers.whatsapp.line import File
from app.storage import media as stored
from app.storage.blobs import Blobs
from app.storage.database import EVERY_TENANT, Database
from app.storage.media import StoredMedia
from app.usecases.stray_files import STRAYS_S, sweep_strays
from app.usecases.sweeping import run_sweeps

log = structlog.get_logger(__name__)
SWEPT_AT_ONCE: Final = 200
MORE_S: Final = 1.0
PIECE: Final = 1024 * 1024


class MediaStore:
    """The files of all tenants. Raises OSError when the disk is full or away."""

    def __init__(self, db: Database, blobs: Blobs, *, keep_days: int = 30, clock: Clock = now_us) -> None:
        self._db = db
        self._blobs = blobs
        self._keep_days = keep_days
        self._clock = clock

    async def keep(self, tenant_id: str, message_id: str, file: File, name: str = "") -> StoredMedia:
        """Write the file; its row is for the caller's transaction (`storage.media.insert_media`)."""
        at = self._clock()
        sha256 = await trio.to_thread.run_sync(_digest, file.data)
        row = StoredMedia(new_id("med_", at), message_id, file.media_type, len(file.data), sha256, name, at)
        await self._blobs.keep(tenant_id, row.id, file.data)
        return row

    async def find(self, tenant_id: str, media_id: str) -> StoredMedia:
        """The row of a file. Raises Problem 404 for one that is gone."""
        row = await self._db.read(tenant_id, lambda db: stored.find_media(db, tenant_id, media_id))
        if row is None:
            raise missing()
        return row

    async def piece(self, tenant_id: str, row: StoredMedia, at: int, size: int) -> bytes:
        """At most `size` of its bytes, from `at`. Raises Problem: 404 when the file is gone, 503 for an ill disk."""
        try:
            data = await self._blobs.read(tenant_id, row.id, at, size)
        except FileNotFoundError:
            data = b""
        except OSError as error:
            log.error("media.not_read", media=row.id, error=str(error))
            raise Problem("storage_unavailable", "The file cannot be read just now.", retry_after_s=MORE_S) from None
        if not data:
            raise missing()
        return data

    async def read(self, tenant_id: str, media_id: str) -> tuple[File, StoredMedia]:
        """The whole file. Raises Problem 404 for one that is gone, 503 for an ill disk."""
        row = await self.find(tenant_id, media_id)
        data = bytearray()
        while len(data) < row.size:
            data += await self.piece(tenant_id, row, len(data), PIECE)
        if len(data) != row.size:
            raise missing()
        return File(bytes(data), row.media_type), row

    async def of_message(self, tenant_id: str, message_id: str) -> tuple[File, StoredMedia]:
        """The message's file. Raises Problem as `read`."""
        row = await self._db.read(tenant_id, lambda db: stored.of_message(db, tenant_id, message_id))
        if row is None:
            raise missing()
        return await self.read(tenant_id, row.id)

    async def run_sweeper(self) -> None:
        """Delete what is past its time, and files without a row; any process may do it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_sweeps, "media", self.sweep, SWEPT_AT_ONCE, MORE_S)
            nursery.start_soon(self._run_strays)

    async def sweep(self) -> int:
        """Delete some of what is past its time, rows before files; how many."""
        since = max(0, self._clock() - self._keep_days * DAY_US)
        gone = await self._db.write(EVERY_TENANT, lambda db: stored.sweep(db, since, SWEPT_AT_ONCE))
        for tenant_id, rows in groupby(gone, key=itemgetter(0)):
            await self._delete(tenant_id, [media_id for _, media_id in rows])
        return len(gone)

    async def sweep_strays(self) -> None:
        """Delete files that have no row and are older than a day."""
        await sweep_strays(self._db, self._blobs, "media", self._delete)

    async def _run_strays(self) -> None:
        while True:
            await trio.sleep(STRAYS_S)
            try:
                await self.sweep_strays()
            except (Problem, OSError) as error:
                log.warning("media.strays_failed", error=str(error))

    async def _delete(self, tenant_id: str, names: list[str]) -> None:
        try:
            await self._blobs.delete(tenant_id, names)
        except OSError as error:
            log.warning("media.not_deleted", error=str(error))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def missing() -> Problem:
    """The same for a file that never was, one that is gone and a link that is none."""
    return Problem("not_found", "There is no such file, or it is past its time.")
