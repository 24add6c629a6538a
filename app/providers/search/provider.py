"""One configured search provider: its dialect, and the host it is spoken to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from app.core.errors import UpstreamError
from app.core.search import Found, Search
from app.providers.fetch import fetch
from app.providers.openai_compatible import decoded
from app.providers.search.backend import FAILED, Backend, judged, ours
from app.providers.search.cleaning import Malformed
from app.providers.upstream import Upstream

BODY_CAP: Final = 8 * 1024 * 1024


class SearchProvider:
    """`first_byte_s`: a provider that has not answered by then is given up for the next."""

    def __init__(self, backend: Backend, upstream: Upstream, first_byte_s: float) -> None:
        self.name = backend.name
        self.upstream = upstream
        self._backend = backend
        self._first_byte_s = first_byte_s

    async def search(self, search: Search, *, accepted: Callable[[], None], waited: Callable[[float], None]) -> Found:
        """What it found. Raises UpstreamError; all but a refused request are worth another provider."""
        backend = self._backend
        try:
            fetched = await fetch(
                self.upstream,
                backend.ask(search),
                method=backend.method,
                first_byte_s=self._first_byte_s,
                cap=BODY_CAP,
                accepted=accepted,
                waited=waited,
            )
        except UpstreamError as error:
            raise ours(error) from None
        body = decoded(fetched.body)
        if not fetched.good:
            raise backend.refusal(fetched.status, fetched.headers, body, time.time())
        try:
            if not isinstance(body, dict):
                raise Malformed("no JSON object")
            return backend.found(body, search)
        except Malformed as fault:
            raise judged(FAILED, fetched.status, {}, str(fault), "", 0.0) from None
