"""W3C trace context: a client's `traceparent` is continued, in the log at least, whether or not traces are exported."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Final

#: Version 00 ends after the flags; a later one may go on (W3C Trace Context, section 3.2).
_TRACEPARENT: Final = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_FIRST_VERSION: Final = b"00"


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a request stands in its trace. `trace_id` 0: in none; `parent_id` 0: it is the first."""

    trace_id: int = 0
    span_id: int = 0
    parent_id: int = 0
    sampled: bool = False

    def ids(self) -> dict[str, str]:
        """For a log line; empty without a trace."""
        return {"trace_id": f"{self.trace_id:032x}", "span_id": f"{self.span_id:016x}"} if self.trace_id else {}


NO_TRACE: Final = Trace()


def new_trace() -> Trace:
    return Trace(random.getrandbits(128) or 1, _new_span_id())


def continued(traceparent: bytes | None) -> Trace:
    """Our place in the client's trace; `NO_TRACE` when there is none, or it is not well formed."""
    found = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
    if found is None or (found[1] == _FIRST_VERSION and found[5]):
        return NO_TRACE
    trace_id, parent_id = int(found[2], 16), int(found[3], 16)
    if not trace_id or not parent_id:
        return NO_TRACE
    return Trace(trace_id, _new_span_id(), parent_id, sampled=bool(int(found[4], 16) & 1))


def _new_span_id() -> int:
    return random.getrandbits(64) or 1
