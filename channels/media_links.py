"""Public links to files of messages, for a provider that fetches what it is to send: signed, and over soon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.core.file_links import FileLink, FileLinks
from app.core.identity import Clock, now_us
from app.storage.media import StoredMedia
from channels.media import MediaStore, missing

#: Where the gateway serves them.
PATH: Final = "/v1/channels/media"
LIFE_S: Final = 600


@dataclass(frozen=True, slots=True)
class LinkedMedia:
    """A file that a link leads to, for so many seconds more."""

    tenant_id: str
    row: StoredMedia
    left_s: int


class MediaLinks:
    """Makes links and follows them. `public_url` is where the gateway is reached from outside, "" for nowhere."""

    def __init__(self, store: MediaStore, links: FileLinks, public_url: str, *, clock: Clock = now_us) -> None:
        self._store = store
        self._links = links
        self._public_url = public_url.rstrip("/")
        self._clock = clock

    def url(self, tenant_id: str, media_id: str) -> str:
        """With which anybody can get the file for some minutes; "" where the gateway is reached from nowhere."""
        if not self._public_url:
            return ""
        token = self._links.sign(FileLink(tenant_id, media_id, self._clock() // 1_000_000 + LIFE_S))
        return f"{self._public_url}{PATH}/{token}"

    async def find(self, token: str) -> LinkedMedia:
        """Raises Problem 404, the same whether the token is none, is over, or its file is gone."""
        now_s = self._clock() // 1_000_000
        link = self._links.read(token, now_s)
        if link is None:
            raise missing()
        row = await self._store.find(link.tenant_id, link.file_id)
        return LinkedMedia(link.tenant_id, row, link.expires_s - now_s)

    async def read(self, linked: LinkedMedia, at: int, size: int) -> bytes:
        """At most `size` of its bytes, from `at`. Raises Problem: 404 when the file is gone, 503 for an ill disk."""
        return await self._store.piece(linked.tenant_id, linked.row, at, size)
