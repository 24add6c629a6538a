"""Files that users have sent, fetched from their provider: from its hosts only, capped while they are read.

Credentials go to the host that they are for and are dropped at a redirect that leads to another one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from urllib.parse import urldefrag, urljoin, urlsplit

import trio

from app.core.errors import Problem
from app.core.public_hosts import Target, read_target
from app.providers.receivers import Loaded, Receivers, TooLarge, Unreachable
from app.providers.whatsapp.exchange import USER_AGENT, Headers
from app.providers.whatsapp.file_types import checked_file
from app.providers.whatsapp.line import File, MediaUnavailable

FETCH_S: Final = 20.0
MOST_REDIRECTS: Final = 3
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: Where Meta keeps files (wire/whatsapp-meta.md section 10).
META_HOSTS: Final = (".fbsbx.com", ".whatsapp.net", ".facebook.com")
ELSEWHERE: Final = "The file lies on a host that is not the provider's."


class Gone(Exception):
    """Not there, or not just now: it may be worth another look."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port."""

    tls: bool
    host: str
    port: int

    @classmethod
    def of(cls, target: Target) -> Origin:
        return cls(target.tls, target.host, target.port)


#: (where a hop leads to, whether it is the first one) -> whether it may be followed.
Allowed = Callable[[Origin, bool], bool]


class Downloads:
    """The files of one provider. Its API's own host, which the operator has configured, may be anywhere; all others
    must be public and speak TLS. `inside` and `outside` are the ways to the two.
    """

    def __init__(
        self,
        api_url: str,
        allowed: Allowed,
        *,
        inside: Receivers | None = None,
        outside: Receivers | None = None,
    ) -> None:
        parts = urlsplit(api_url)
        tls = parts.scheme == "https"
        self._own = Origin(tls, parts.hostname or "", parts.port or (443 if tls else 80))
        self._allowed = allowed
        self._inside = inside or Receivers(private=True)
        self._outside = outside or Receivers()

    async def get(self, url: str, credentials: Headers, cap: int) -> Loaded:
        """The file at `url`. Raises Gone, and MediaUnavailable for what another look would not change; the caller sets
        the deadline of it all.
        """
        first: Origin | None = None
        for _ in range(1 + MOST_REDIRECTS):
            origin = self._checked(url, first is None)
            first = first or origin
            credentials = credentials if origin == first else ()
            loaded = await self._load(url, origin, credentials, cap)
            if loaded.status == 200:
                return loaded
            if loaded.status not in REDIRECTS or not loaded.headers.get("location"):
                raise Gone(f"The provider answered {loaded.status} when asked for the file.")
            url = _joined(url, loaded.headers["location"])
        raise MediaUnavailable("The provider sends us from one place to the next for the file.")

    def _checked(self, url: str, first: bool) -> Origin:
        """Raises MediaUnavailable for a place that is none of the provider's."""
        try:
            origin = Origin.of(read_target(url, private=True))
        except Problem:
            raise MediaUnavailable("The provider names no place where the file could be.") from None
        if origin != self._own and not (origin.tls and self._allowed(origin, first)):
            raise MediaUnavailable(ELSEWHERE)
        return origin

    async def _load(self, url: str, origin: Origin, credentials: Headers, cap: int) -> Loaded:
        way = self._inside if origin == self._own else self._outside
        headers = [(b"Accept", b"*/*"), (b"Accept-Encoding", b"identity"), USER_AGENT, *credentials]
        try:
            return await way.get(url, headers, cap)
        except TooLarge:
            raise MediaUnavailable(f"The file is larger than {cap} bytes.") from None
        except Unreachable:
            raise Gone("The file could not be loaded from the provider.") from None


def _joined(url: str, location: str) -> str:
    """Where a redirect leads to, "" for what is no URL."""
    try:
        return urldefrag(urljoin(url, location)).url
    except ValueError:
        return ""


def metas(origin: Origin, _first: bool) -> bool:
    """Meta's hosts, at every hop."""
    return origin.host.endswith(META_HOSTS)


def twilios(_origin: Origin, first: bool) -> bool:
    """From the API's own host, and from there wherever it leads."""
    return not first


async def in_time(fetch: Callable[[], Awaitable[File]]) -> File:
    """What `fetch` gives within 20 seconds. Raises MediaUnavailable."""
    try:
        with trio.fail_after(FETCH_S):
            return await fetch()
    except trio.TooSlowError:
        raise MediaUnavailable(f"The file did not come within {FETCH_S:g} s.") from None
    except Gone as gone:
        raise MediaUnavailable(str(gone)) from None


def checked(data: bytes, declared: str, *hashes: str) -> File:
    """The file if it is what was promised. `hashes` are SHA-256 in hex or base64, "" where none is known. Raises
    MediaUnavailable.
    """
    digest = sha256(data).digest()
    if any(promised and _bytes(promised) != digest for promised in hashes):
        raise MediaUnavailable("The file is not the one that the user sent: its SHA-256 is another.")
    return checked_file(data, declared)


def _bytes(digest: str) -> bytes | None:
    """A SHA-256 that is written in hex or in base64; None for anything else."""
    text = digest.strip()
    try:
        return bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
