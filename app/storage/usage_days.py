"""What ended calls add up to, by day, key, service and model; written with each ending, so that it is never behind."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from app.core.call_facts import Measured
from app.core.ledger import Outcome
from app.core.times import DAY_US
from app.storage.database import Transaction

Group = Literal["day", "key_id", "category", "model"]


class Sums(NamedTuple):
    """What some calls add up to. A call that was interrupted has no latency: nobody saw its end."""

    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    interrupted: int = 0
    charge: int = 0
    uncollected: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    audio_ms: int = 0
    latency_us: int = 0

    @property
    def requests(self) -> int:
        return self.completed + self.cancelled + self.failed + self.interrupted


class EndedCall(NamedTuple):
    """A call that has just ended, as far as the sums see it."""

    key_id: str
    category: str
    model: str
    opened_us: int
    ended_us: int
    outcome: Outcome
    charge: int
    uncollected: int
    measured: Measured


KEY: Final = ("tenant_id", "day", "key_id", "category", "model")
_COLUMNS: Final = (*KEY, *Sums._fields)
_COUNT: Final = (
    f"INSERT INTO usage_days ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    f"ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = usage_days.{name} + excluded.{name}" for name in Sums._fields)
)
_SUMMED: Final = ", ".join(f"SUM({name})" for name in Sums._fields)


def count(db: Transaction, tenant_id: str, call: EndedCall) -> None:
    """Add a call to the sums of the day on which it began."""
    used = call.measured
    sums = Sums(
        completed=int(call.outcome == "completed"),
        cancelled=int(call.outcome == "cancelled"),
        failed=int(call.outcome == "failed"),
        interrupted=int(call.outcome == "interrupted"),
        charge=call.charge,
        uncollected=call.uncollected,
        input_tokens=0 if used.input_tokens is None else used.input_tokens,
        output_tokens=0 if used.output_tokens is None else used.output_tokens,
        audio_ms=0 if used.audio_ms is None else used.audio_ms,
        latency_us=0 if call.outcome == "interrupted" else max(0, call.ended_us - call.opened_us),
    )
    db.do(_COUNT, tenant_id, call.opened_us // DAY_US, call.key_id, call.category, call.model, *sums)


def sums_by(db: Transaction, tenant_id: str, group: Group, since_day: int, until_day: int) -> list[tuple[Any, Sums]]:
    """(value of `group`, sums) of each, from one day to another, both included."""
    rows = db.all(
        f"SELECT {group}, {_SUMMED} FROM usage_days WHERE tenant_id = ? AND day BETWEEN ? AND ? GROUP BY {group}",
        *(tenant_id, since_day, until_day),
    )
    return [(row[0], Sums(*row[1:])) for row in rows]
