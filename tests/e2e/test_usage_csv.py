"""Usage as CSV: the lines of the log, safe in a spreadsheet, bounded, and seen to be broken when it breaks off."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from app.core.identity import now_us
from app.core.times import iso_time
from app.storage import call_log
from app.storage.call_log import FAR_AWAY, list_calls
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, elsewhere, open_caller, question
from tests.e2e.usage_asking import COLUMNS, LOGS, lines, make_endings

pytestmark = ON_BOTH


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with open_caller(database_url, customer={"scopes": "usage:read"}) as opened:
        yield opened


async def csv_of(caller: Caller, **query: Any) -> list[list[str]]:
    reply = await caller.http.get(f"{LOGS}.csv", params=query)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert reply.headers["content-disposition"] == f'attachment; filename="usage-{iso_time(now_us())[:10]}.csv"'
    return list(csv.reader(io.StringIO(reply.text, newline="")))


def written(value: Any) -> str:
    """As a cell."""
    if value is None:
        return ""
    return f"{Decimal(str(value)):f}" if isinstance(value, float) else str(value)


async def test_csv_has_the_lines_of_the_log(caller: Caller) -> None:
    await make_endings(caller)
    header, *rows = await csv_of(caller)
    assert header == COLUMNS
    expected = await lines(caller)
    assert [dict(zip(header, row, strict=True)) for row in rows] == [
        {name: written(value) for name, value in line.items()} for line in expected
    ]
    assert [row[COLUMNS.index("status_code")] for row in (await csv_of(caller, status="error"))[1:]] == ["429", "502"]


async def test_csv_of_nothing_is_its_header(caller: Caller) -> None:
    assert await csv_of(caller) == [COLUMNS]


async def test_csv_runs_no_formula_and_breaks_at_no_quote(caller: Caller) -> None:
    names = ('=cmd|"/C calc"!A0', "+1", "-1", "@sum", 'a "b", c')
    for name in names:
        await caller.post(question("[tokens=1]"), x_session_id=name)
    found = [row[-1] for row in reversed((await csv_of(caller))[1:])]
    assert found == [*(f"'{name}" for name in names[:4]), names[4]]


async def add_copies(caller: Caller, count: int) -> None:
    """One call, and so many failed ones at the same moment."""
    await caller.chat("[tokens=1]")
    copy = (
        "INSERT INTO calls (tenant_id, id, key_id, request_id, endpoint, category, model, streamed, month, opened_at, "
        "state, hold, expires_at, ended_at, outcome, charge, rule) SELECT tenant_id, ?, key_id, request_id, endpoint, "
        "category, model, streamed, month, opened_at, 'voided', 0, 0, ended_at, 'failed', 0, 'B6' "
        "FROM calls WHERE id = ?"
    )
    (first,) = await lines(caller)

    def add(db: Any) -> None:
        for number in range(count):
            db.do(copy, f"copy-{number:04}", first["id"])

    elsewhere(caller.house, add)


async def test_csv_has_no_more_than_five_thousand_lines(caller: Caller) -> None:
    await add_copies(caller, 5010)
    assert len(await csv_of(caller)) == 5001
    assert len(await csv_of(caller, status=200)) == 2


async def test_csv_that_breaks_off_in_the_middle_is_seen_to_be_broken(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_copies(caller, 600)

    def fail_after_the_first_page(*arguments: Any) -> Any:
        if arguments[2].before != FAR_AWAY:
            raise RuntimeError("a page that cannot be read")
        return list_calls(*arguments)

    monkeypatch.setattr(call_log, "list_calls", fail_after_the_first_page)
    with pytest.raises(httpx2.RemoteProtocolError):
        await caller.http.get(f"{LOGS}.csv")
