"""`/v1/usage/...` and `/api/v1/usage/...`: the log of calls, as JSON and as CSV, and what they add up to."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Final

import msgspec

from app.api.exchange import Exchange
from app.api.platform import Platform
from app.api.services import ApiServices
from app.core.csv_text import csv_text
from app.core.identity import Visitor
from app.core.times import iso_time
from app.core.usage import CallLog, LogFilter, LogPage, LogQuery, Summary, SummaryQuery

BASES: Final = ("/v1/usage", "/api/v1/usage")
MOST_ROWS: Final = 5000
CSV: Final = "text/csv"


def platform(services: ApiServices) -> Platform:
    api = Platform("usage", services)
    usage = services.usage
    who: dict[str, Any] = {"scope": "usage:read", "least": "admin"}

    async def show_summary(visitor: Visitor, query: SummaryQuery) -> Summary:
        """Add up the calls of the last days.

        In all, and by service, model, key and day. Calls count when they have ended, on the day on which they began.
        """
        return await usage.summary(visitor.tenant_id, query.days)

    async def list_calls(visitor: Visitor, query: LogQuery) -> LogPage:
        """List the calls of the last 90 days, newest first.

        Requests that were refused before anything was spent on them are no calls and not listed. A page looks at a
        bounded number of calls: with filters it may hold fewer than `limit`, and goes on at `next_cursor`.
        """
        return await usage.page(visitor.tenant_id, query)

    async def send_csv(visitor: Visitor, query: LogFilter, exchange: Exchange) -> None:
        """Download the newest calls as CSV, at most 5,000."""
        text = csv_text([CallLog.__struct_fields__])
        async with aclosing(usage.pages(visitor.tenant_id, query, MOST_ROWS)) as pages:
            async for page in pages:
                if not exchange.started:
                    await exchange.start(200, _headers(exchange))
                await exchange.send((text + csv_text(map(msgspec.structs.astuple, page))).encode())
                text = ""
        await exchange.send(b"", more=False)

    for base in BASES:
        api.add("GET", f"{base}/summary", **who)(show_summary)
        api.add("GET", f"{base}/logs", **who)(list_calls)
        api.add("GET", f"{base}/logs.csv", media=CSV, **who)(send_csv)
    return api


def _headers(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    day = iso_time(exchange.at_us)[: len("2026-11-22")]
    return [
        (b"content-type", b"text/csv; charset=utf-8"),
        (b"content-disposition", f'attachment; filename="usage-{day}.csv"'.encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
