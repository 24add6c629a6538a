"""The provider's own account of what it served: one record a request, to be held against the gateway's ledger."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec
import trio

Outcome = Literal["finished", "peer_closed", "faulted"]

CAPACITY: Final = 100_000
#: A larger request body is not kept: the record says how large it was.
BODY_KEPT_BYTES: Final = 32 * 1024
_SECRET: Final = frozenset(
    {"authorization", "api-subscription-key", "x-api-key", "cookie", "proxy-authorization", "x-subscription-token"}
)


class Record(msgspec.Struct, kw_only=True, gc=False):
    """One request. Times are seconds since the book began; None means that it did not happen (yet).

    `accepted`: the request was read whole. `finished`: the last byte of a complete answer was handed to the socket.
    `tokens_sent`: completion tokens whose bytes were handed to the socket. `outcome` is None while it runs;
    `faulted` is an error answer, a cut of our own, or our own stop.
    """

    n: int
    dialect: str
    path: str
    model: str | None = None
    request_headers: dict[str, str]
    raw_body: bytes = b""
    tag: str | None = None
    triggers: tuple[str, ...] = ()
    answer_id: str | None = None
    status: int | None = None
    wall: float
    accepted: float
    headers_sent: float | None = None
    first_byte: float | None = None
    finished: float | None = None
    close_seen: float | None = None
    tokens_sent: int = 0
    prompt_tokens: int | None = None
    usage_sent: dict[str, Any] | None = None
    outcome: Outcome | None = None

    def keep_body(self, body: bytes) -> None:
        """Keep the JSON text of the request, or its size when that is too large."""
        self.raw_body = body if len(body) <= BODY_KEPT_BYTES else b'{"left_out_bytes":%d}' % len(body)

    @property
    def body(self) -> Any:
        """The request's JSON; None when it was no JSON."""
        return msgspec.json.decode(self.raw_body) if self.raw_body else None

    def view(self) -> dict[str, Any]:
        """The record as it is read over HTTP: the same names, `body` in place of its text."""
        fields = msgspec.structs.asdict(self)
        return fields | {"body": msgspec.Raw(fields.pop("raw_body") or b"null")}


class Book:
    """The last `capacity` records, and the keys of `fail_once` seen so far."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._records: deque[Record] = deque()
        self._capacity = capacity
        self._by_answer: dict[str, Record] = {}
        self._keys_seen: set[str] = set()
        self._count = 0
        self._started: float | None = None
        self._closings = trio.lowlevel.ParkingLot()

    def begin(self) -> float:
        """`trio.current_time()` at second 0 of this book, which is the first call of this."""
        if self._started is None:
            self._started = trio.current_time()
        return self._started

    def now(self) -> float:
        """Seconds since the book began."""
        began = self.begin()
        return trio.current_time() - began

    def blank(self, dialect: str, path: str, headers: Iterable[tuple[str, str]]) -> Record:
        """A record that is not in the book yet, accepted now; credentials are masked."""
        return Record(
            n=0,
            dialect=dialect,
            path=path,
            request_headers={name: _masked(value) if name in _SECRET else value for name, value in headers},
            wall=time.time(),
            accepted=self.now(),
        )

    def enter(self, record: Record) -> None:
        """Number the record and keep it; the oldest leaves when the book is full."""
        self._count += 1
        record.n = self._count
        self._records.append(record)
        if len(self._records) > self._capacity:
            oldest = self._records.popleft()
            self._by_answer.pop(oldest.answer_id or "", None)

    def close(self, record: Record, outcome: Outcome) -> None:
        """The request is over: say how, and wake those who wait for it."""
        record.outcome = outcome
        self._closings.unpark_all()

    async def ended(self, tag: str) -> Record:
        """The oldest record with this tag, once its request is over; waits for one if need be."""
        while True:
            for record in self.records(tag):
                if record.outcome is not None:
                    return record
            await self._closings.park()

    def name_answer(self, record: Record, answer_id: str) -> None:
        """Make the record findable by the id its answer carries."""
        record.answer_id = answer_id
        self._by_answer[answer_id] = record

    def by_answer(self, answer_id: str) -> Record | None:
        return self._by_answer.get(answer_id)

    def records(self, tag: str | None = None, since: int = 0) -> list[Record]:
        """Oldest first: those with this tag, and with `n` above `since`."""
        return [record for record in self._records if record.n > since and tag in {None, record.tag}]

    def first_time(self, key: str) -> bool:
        """Whether this `fail_once` key is new; it is not any more after the call."""
        if key in self._keys_seen:
            return False
        if len(self._keys_seen) >= self._capacity:
            self._keys_seen.clear()
        self._keys_seen.add(key)
        return True

    def clear(self) -> None:
        """Forget records and keys; numbering goes on, and requests under way still end well."""
        self._records.clear()
        self._by_answer.clear()
        self._keys_seen.clear()

    def summary(self) -> dict[str, Any]:
        outcomes = Counter(record.outcome or "running" for record in self._records)
        return {
            "records": len(self._records),
            "last_n": self._count,
            "now": self.now(),
            "wall": time.time(),
            **{name: outcomes[name] for name in ("running", "finished", "peer_closed", "faulted")},
            "tokens_sent": sum(record.tokens_sent for record in self._records),
            "prompt_tokens": sum(record.prompt_tokens or 0 for record in self._records),
            "by_dialect": dict(Counter(record.dialect for record in self._records)),
        }


def _masked(value: str) -> str:
    scheme, space, _ = value.partition(" ")
    return f"{scheme} ***" if space else "***"
