"""What an organisation sees of its usage: the log of its calls, and what they add up to (spec.md section 16)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

import msgspec

from app.core.call_facts import kept_mark
from app.core.errors import Problem
from app.core.identity import Clock, now_us
from app.core.money import UCR_PER_CREDIT, credits_from_ucr
from app.core.outcomes import endings_of, error_of, status_of
from app.core.times import BEFORE_ALL_IDS, DAY_US, Place, iso_time, read_cursor, read_time, write_cursor
from app.core.usage import (
    LONGEST_DAYS,
    CallLog,
    DayTotals,
    KeyTotals,
    LogFilter,
    LogPage,
    LogQuery,
    ModelTotals,
    ServiceTotals,
    Summary,
    Totals,
)
from app.storage import call_log, usage_days
from app.storage.call_log import FAR_AWAY, LoggedCall, Wanted
from app.storage.database import Database, Transaction
from app.storage.usage_days import Group, Sums
from app.usecases.models import Models

LONGEST_PAGE: Final = 500
TOO_FAR: Final = "With these filters `offset` leads too far. Page with the cursor that each page gives as next_cursor."


class Usage:
    """The usage of any tenant; each method names whose. `models` knows what a dollar is worth in credits."""

    def __init__(self, db: Database, models: Models, *, clock: Clock = now_us) -> None:
        self._db = db
        self._models = models
        self._clock = clock

    async def page(self, tenant_id: str, query: LogQuery) -> LogPage:
        """The calls that a query means, newest first, running ones included. Raises Problem 400."""
        now = self._clock()
        settled_until_us = (now // DAY_US - 1) * DAY_US  # by then no call that began before still runs
        wanted = _wanted(query, now, settled_until_us)

        def read(db: Transaction) -> tuple[list[LoggedCall], Place | None]:
            calls, searched_to = call_log.list_calls(db, tenant_id, wanted)
            if searched_to is None:
                return calls, None
            return calls, call_log.place_to_go_on(db, tenant_id, wanted, searched_to, settled_until_us)

        found, go_on = await self._db.read(tenant_id, read)
        data = found[: query.limit]
        if len(found) > query.limit:
            go_on = Place(data[-1].opened_us, data[-1].id)
        if query.offset and not data and go_on is not None:
            raise Problem("invalid_value", TOO_FAR, "offset")
        return LogPage([self._line(call) for call in data], None if go_on is None else write_cursor(go_on))

    async def pages(self, tenant_id: str, chosen: LogFilter, most: int) -> AsyncGenerator[list[CallLog], None]:
        """The newest `most` calls that the filters mean, in pieces, of which some may be empty. Raises as `page`."""
        left, before = most, None
        filters = msgspec.structs.asdict(chosen)
        while left:
            page = await self.page(tenant_id, LogQuery(**filters, limit=min(left, LONGEST_PAGE), before=before))
            yield page.data
            left -= len(page.data)
            before = page.next_cursor
            if before is None:
                return

    async def summary(self, tenant_id: str, days: int) -> Summary:
        """What the calls of these days add up to, in all and by service, model, key and day."""
        today = self._clock() // DAY_US
        first = today - days + 1

        def read(db: Transaction) -> dict[Group, list[tuple[Any, Sums]]]:
            groups: tuple[Group, ...] = ("category", "model", "key_id", "day")
            return {group: usage_days.sums_by(db, tenant_id, group, first, today) for group in groups}

        found = await self._db.read(tenant_id, read)
        by_day = dict(found["day"])
        total = Sums(*(sum(column) for column in zip(Sums(), *by_day.values(), strict=True)))
        return Summary(
            period_days=days,
            totals=Totals(**self._figures(total)),
            by_service=[
                ServiceTotals(service=name, **self._figures(sums)) for name, sums in _dearest(found["category"])
            ],
            by_model=[ModelTotals(model=name, **self._figures(sums)) for name, sums in _dearest(found["model"])],
            by_key=[KeyTotals(api_key_id=name, **self._figures(sums)) for name, sums in _dearest(found["key_id"])],
            series=[self._day(day, by_day.get(day, Sums())) for day in range(first, today + 1)],
        )

    def _line(self, call: LoggedCall) -> CallLog:
        return CallLog(
            id=call.id,
            created_at=iso_time(call.opened_us),
            service=call.category,
            endpoint=call.endpoint,
            method="POST",
            model=call.model,
            status_code=status_of(call.outcome, call.failure),
            latency_ms=_latency_ms(call),
            input_tokens=call.input_tokens,
            output_tokens=call.output_tokens,
            audio_seconds=None if call.audio_ms is None else call.audio_ms / 1000,
            cost_usd=self._usd(call.charge),
            credits=credits_from_ucr(call.charge),
            request_id=call.request_id,
            api_key_id=call.key_id,
            error_message=error_of(call.outcome, call.failure),
            trace_id=call.trace_id or None,
            session_id=call.session_id or None,
        )

    def _figures(self, sums: Sums) -> dict[str, Any]:
        """The fields of `Totals`."""
        requests, timed = sums.requests, sums.requests - sums.interrupted
        return {
            "total_requests": requests,
            "success": sums.completed,
            "errors": sums.failed + sums.interrupted,
            "cancelled": sums.cancelled,
            "success_rate": round(sums.completed / requests, 4) if requests else None,
            "total_cost_usd": self._usd(sums.charge),
            "total_credits": credits_from_ucr(sums.charge),
            "total_input_tokens": sums.input_tokens,
            "total_output_tokens": sums.output_tokens,
            "total_audio_seconds": sums.audio_ms / 1000,
            "avg_latency_ms": round(sums.latency_us / timed / 1000, 1) if timed else None,
        }

    def _day(self, day: int, sums: Sums) -> DayTotals:
        return DayTotals(
            date=iso_time(day * DAY_US)[: len("2026-11-22")],
            requests=sums.requests,
            errors=sums.failed + sums.interrupted,
            cost_usd=self._usd(sums.charge),
            credits=credits_from_ucr(sums.charge),
        )

    def _usd(self, amount_ucr: int) -> float:
        return amount_ucr / (UCR_PER_CREDIT * self._models.catalog.rates.credits_per_usd)


def _wanted(query: LogQuery, now: int, settled_until_us: int) -> Wanted:
    """Raises Problem 400 for times that are none, or in the wrong order."""
    days = LONGEST_DAYS if query.days is None else query.days
    since_us = (now // DAY_US - days + 1) * DAY_US
    before = read_cursor(query.before) or FAR_AWAY
    start_us = None if query.start is None else read_time(query.start, "start")
    end_us = None if query.end is None else read_time(query.end, "end")
    if start_us is not None and end_us is not None and start_us > end_us:
        raise Problem("invalid_value", "`start` is after `end`. Swap them.", "start")
    if start_us is not None:
        since_us = max(since_us, start_us)
    if query.status == "running":
        since_us = max(since_us, settled_until_us)
    if end_us is not None:
        before = min(before, Place(end_us, BEFORE_ALL_IDS))
    return Wanted(
        since=Place(since_us, BEFORE_ALL_IDS),
        before=before,
        category=query.service,
        model=query.model,
        key_id=query.api_key_id,
        endings=None if query.status is None else endings_of(query.status),
        session_id=None if query.session_id is None else kept_mark(query.session_id),
        trace_id=None if query.trace_id is None else kept_mark(query.trace_id),
        offset=query.offset,
        limit=query.limit + 1,
    )


def _latency_ms(call: LoggedCall) -> int | None:
    """None while it runs, and when nobody saw its end."""
    if call.ended_us is None or call.outcome == "interrupted":
        return None
    return max(0, call.ended_us - call.opened_us) // 1000


def _dearest(groups: list[tuple[Any, Sums]]) -> list[tuple[str, Sums]]:
    """What cost most comes first."""
    return sorted(groups, key=lambda group: (-group[1].charge, -group[1].requests, group[0]))
