"""What the surfaces of calls that are not chat share: the facts of a call, and its answer as one body."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

from app.api.answering import call_marks, sdk_retries
from app.api.exchange import Exchange
from app.api.stream import served_headers
from app.observability.facts import CallFacts
from app.usecases.settling import Beside
from app.usecases.sink import Served

T = TypeVar("T")
JSON: Final = "application/json"


@contextmanager
def open_facts(exchange: Exchange, endpoint: str, operation: str, id_prefix: str) -> Iterator[CallFacts]:
    """The facts of the call that this request makes; its id stands in the access line, if it was admitted."""
    exchange.call = facts = CallFacts(
        exchange.request_id, endpoint, exchange.began, operation, id_prefix, sdk_retries(exchange), call_marks(exchange)
    )
    try:
        yield facts
    finally:
        if facts.id:
            exchange.note["call"] = facts.id


class WholeReply(Generic[T]):
    """The body of one call's answer: made before the call is settled, so as to be kept with the charge, sent after.

    `make` gives its content type and bytes.
    """

    def __init__(self, exchange: Exchange, make: Callable[[T, Served], tuple[str, bytes]]) -> None:
        self._exchange = exchange
        self._make = make
        self._content_type = b""
        self._body = b""

    def settling(self, answer: T, served: Served) -> Beside | None:
        content_type, self._body = self._make(answer, served)
        self._content_type = content_type.encode()
        recording = self._exchange.recording
        return None if recording is None else recording.whole(self._headers(served), self._body)

    async def send(self, served: Served) -> None:
        await self._exchange.reply(200, self._headers(served), self._body)

    def _headers(self, served: Served) -> list[tuple[bytes, bytes]]:
        return [(b"content-type", self._content_type), *served_headers(served, self._exchange)]
