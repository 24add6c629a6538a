"""A business on its way from SQLite to PostgreSQL, for the tests of moving."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.storage.moving import Plan, Progress, Report, move
from tests.databases import elsewhere
from tests.storage.business import Business
from tests.storage.making import DAY_0


def silent(_: Progress) -> None:
    """Progress that nobody wants to see."""


def go(business: Business, target: str, tell: Callable[[Progress], None] = silent, **plan: Any) -> Report:
    return move(Plan(business.url, target, **{"wait_s": 0.2, **plan}), tell, lambda: DAY_0)


def change(business: Business, sql: str, *values: Any) -> None:
    assert elsewhere(business.url, lambda db: db.run(sql, *values)) > 0


def once(what: str, work: Callable[[], object]) -> Callable[[Progress], None]:
    """Progress that does `work` when `what` is told of for the first time."""
    left = [work]

    def tell(progress: Progress) -> None:
        if progress.what == what and left:
            left.pop()()

    return tell
