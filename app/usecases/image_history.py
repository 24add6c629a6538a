"""Images that were delivered: kept beside the charge of their call, listed, shown by link, forgotten after some days.

The bytes are written before the charge, the row with it: a row never lacks its file. A file that never got its row, the
call having been cancelled or lost in between, is swept away a day later.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final

import msgspec
import structlog
import trio

from app.core.errors import Problem
from app.core.file_links import FileLink, FileLinks
from app.core.identity import Clock, Principal, new_id, now_us
from app.core.image_history import ImageDetails, media_type_of
from app.core.images import Picture
from app.core.times import DAY_US, Place
from app.storage import images as stored
from app.storage.blobs import Blobs
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.images import StoredImage
from app.storage.ledger import Ending
from app.usecases.settling import Beside
from app.usecases.stray_files import STRAYS_S, sweep_strays

log = structlog.get_logger(__name__)
LINK_LIFE_S: Final = 600
SWEEP_S: Final = 600.0
#: Pause before the next portion of many.
MORE_S: Final = 1.0
SWEPT_AT_ONCE: Final = 200
MISSING: Final = "There is no image at this address. A link is good for {} minutes: list your images for a new one."
DISK_AWAY: Final = "The image cannot be read at the moment. Try again shortly."


@dataclass(frozen=True, slots=True)
class LinkedImage:
    """An image that a link leads to, for so many seconds more."""

    tenant_id: str
    image: StoredImage
    left_s: int


class ImageHistory:
    """The images of all tenants. `keep_days` 0 keeps none."""

    def __init__(
        self, db: Database, blobs: Blobs, links: FileLinks, *, keep_days: int = 30, clock: Clock = now_us
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._links = links
        self._keep_days = keep_days
        self._clock = clock

    async def keep(
        self, principal: Principal, call_id: str, model: str, drawn: Sequence[tuple[Picture, ImageDetails]]
    ) -> list[StoredImage]:
        """Write the files of a call's images; their rows are for `beside`.

        Never fails: once the disk does, what is left is not in the history, and logged.
        """
        kept: list[StoredImage] = []
        at = self._clock()
        try:
            for place, (picture, details) in enumerate(drawn if self._keep_days else ()):
                data, sha256 = await trio.to_thread.run_sync(_decode, picture)
                image_id = new_id("img_", at)
                await self._blobs.keep(principal.tenant_id, image_id, data)
                kept.append(
                    StoredImage(
                        id=image_id,
                        created_us=at + place,  # so that they are listed in their order
                        call_id=call_id,
                        key_id=principal.key_id,
                        model=model,
                        details=msgspec.json.encode(details).decode(),
                        media_type=media_type_of(data),
                        bytes=len(data),
                        sha256=sha256,
                    )
                )
        except (OSError, ValueError) as error:
            log.error("images.not_kept", call=call_id, images=len(drawn) - len(kept), error=str(error))
        return kept

    def beside(self, tenant_id: str, images: Sequence[StoredImage]) -> Beside | None:
        """What puts the images into the history, to be written with the charge of their call."""

        def store(db: Transaction, _ending: Ending) -> None:
            for image in images:
                stored.store(db, tenant_id, image)

        return store if images else None

    async def page(self, tenant_id: str, before: Place | None, limit: int) -> tuple[list[StoredImage], Place | None]:
        """The newest images before a place, and the place before which there are more."""
        since = self._since_us()
        found = await self._db.read(tenant_id, lambda db: stored.page(db, tenant_id, before, since, limit + 1))
        if len(found) <= limit:
            return found, None
        last = found[limit - 1]
        return found[:limit], Place(last.created_us, last.id)

    def link(self, tenant_id: str, image_id: str) -> str:
        """A token with which anybody can get the image for some minutes."""
        return self._links.sign(FileLink(tenant_id, image_id, self._clock() // 1_000_000 + LINK_LIFE_S))

    async def find(self, token: str) -> LinkedImage:
        """Raises Problem 404, the same whether the token is none, is over, or its image was deleted."""
        now_s = self._clock() // 1_000_000
        link = self._links.read(token, now_s)
        if link is None:
            raise _missing()
        since = self._since_us()
        image = await self._db.read(link.tenant_id, lambda db: stored.find(db, link.tenant_id, link.file_id, since))
        if image is None:
            raise _missing()
        return LinkedImage(link.tenant_id, image, link.expires_s - now_s)

    async def read(self, linked: LinkedImage, at: int, size: int) -> bytes:
        """At most `size` of its bytes, from `at`. Raises Problem: 404 when the file is gone, 503 for an ill disk."""
        try:
            data = await self._blobs.read(linked.tenant_id, linked.image.id, at, size)
        except FileNotFoundError:
            data = b""
        except OSError as error:
            log.error("images.not_read", image=linked.image.id, error=str(error))
            raise Problem("storage_unavailable", DISK_AWAY, retry_after_s=MORE_S) from None
        if not data:
            log.error("images.file_lost", image=linked.image.id)
            raise _missing()
        return data

    async def run_sweeper(self) -> None:
        """Delete what is past its time, and files without a row, again and again; any process may do it."""
        # Each process searches for strays at a time of its own.
        pause_s, strays_at = SWEEP_S, trio.current_time() + random.uniform(0.1, 1) * STRAYS_S  # noqa: S311 - jitter
        while True:
            await trio.sleep(pause_s)
            pause_s = SWEEP_S
            try:
                if await self.sweep() == SWEPT_AT_ONCE:
                    pause_s = MORE_S
                if trio.current_time() >= strays_at:
                    strays_at += STRAYS_S
                    await self.sweep_strays()
            except (Problem, OSError) as error:
                log.warning("images.sweep_failed", error=str(error))

    async def sweep(self) -> int:
        """Delete some of what is past its time, rows before files; how many."""
        since = self._since_us()
        gone = await self._db.write(EVERY_TENANT, lambda db: stored.sweep(db, since, SWEPT_AT_ONCE))
        for tenant_id, images in groupby(gone, key=itemgetter(0)):
            await self._blobs.delete(tenant_id, [image_id for _, image_id in images])
        return len(gone)

    async def sweep_strays(self) -> int:
        """Delete files that have no row and are older than a day; how many."""
        count = await sweep_strays(self._db, self._blobs, "images", self._blobs.delete)
        if count:
            log.info("images.strays_deleted", files=count)
        return count

    def _since_us(self) -> int:
        return max(0, self._clock() - self._keep_days * DAY_US)


def _decode(picture: Picture) -> tuple[bytes, str]:
    data = base64.b64decode(picture.b64)
    return data, hashlib.sha256(data).hexdigest()


def _missing() -> Problem:
    return Problem("not_found", MISSING.format(LINK_LIFE_S // 60))
