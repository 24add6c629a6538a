"""Our ledger against the provider's book, to the token, after a crowd of clients has hung up at random bytes.

The test that decides whether the books balance: thousands of calls, a third broken off, every fault of a provider.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Final

import pytest
import structlog.testing
import trio

from tests.e2e.audit import Case, collect, differences
from tests.e2e.crowd import FAULTS, HANGS, ODD, SHARES, Crowd, Tireless, specs
from tests.e2e.settlement import LedgerView, open_ledger, until
from tests.house import RICH_UCR, House, open_house

#: How many on each engine; most of what can go wrong has nothing to do with it.
CALLS: Final = {"sqlite": 2000, "postgresql": 1000}
CLIENTS: Final = 64
SEED: Final = 20261121
CLOSE_P99_S: Final = 0.05
#: A token waits two turns to be counted; at most 50 ms where the machine is not starved.
IN_SOCKETS_S: Final = 0.05


@pytest.mark.parametrize(
    ("database_url", "calls"),
    CALLS.items(),
    ids=[f"{engine} {calls}" for engine, calls in CALLS.items()],
    indirect=["database_url"],
)
async def test_the_ledger_equals_the_providers_book_to_the_token(
    database_url: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.main.Breakers", Tireless)
    with structlog.testing.capture_logs() as logs, as_in_a_server():
        await reconcile(database_url, calls)
    assert [entry for entry in logs if entry["log_level"] not in ("info", "warning")] == []


@contextmanager
def as_in_a_server() -> Iterator[None]:
    """The interpreter as `app.commands.tune_interpreter` has it, for which a test runner is too good a guest.

    Going through its own objects would stop the loop for 0.1 s, and a worker thread would keep it for 5 ms at a time.
    """
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(0.001)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(interval_s)


async def reconcile(database_url: str, calls: int) -> None:
    async with open_house(database_url) as house:
        with open_ledger(house.settings.database_url) as ledger:
            crowd = Crowd(house.customer, lambda: house.url, lambda call_id: ledger.row(call_id).state, CLIENTS)
            began = trio.current_time()
            await crowd.make(specs(calls, SEED))
            took_s = trio.current_time() - began
            await all_ended(house, ledger)
            in_sockets_s = max(IN_SOCKETS_S, 2 * max(crowd.pulse.lateness))
            cases = collect(house.book, ledger.rows(), crowd.told, in_sockets_s)
            assert len(cases) == calls
            lags = sorted(lag for case in cases if (lag := case.close_lag_s) is not None)
            wrong = [f"{case.told.spec}: {what}" for case in cases for what in differences(case)]
            report(crowd, cases, lags, took_s, wrong)
            assert wrong == []
            check_books(house, ledger)
            check_mix(crowd, cases, lags)
            assert p99([unexplained_s(crowd, *span) for case in cases if (span := case.close_span)]) <= CLOSE_P99_S


async def all_ended(house: House, ledger: LedgerView) -> None:
    """Every hold has ended, and the provider has closed every request in its book."""
    await until(lambda: not ledger.rows("state = 'held'"))
    await until(lambda: all(record.outcome is not None for record in house.book.records()))


def check_books(house: House, ledger: LedgerView) -> None:
    tenant = house.customer.tenant_id
    charges = sum(row.charge for row in ledger.rows())
    assert ledger.money(tenant) == (RICH_UCR - charges, 0)
    assert ledger.entries(tenant) == {"grant": RICH_UCR, "charge": -charges}
    assert ledger.broken() == []


def check_mix(crowd: Crowd, cases: list[Case], lags: list[float]) -> None:
    """The crowd was as bad as it was meant to be."""
    assert sum(case.told.left_at is not None for case in cases) >= 0.3 * len(cases)
    assert sum(case.told.spec.kind == "fault" for case in cases) >= 0.1 * len(cases)
    met = {trigger for case in cases for record in case.records for trigger in record.triggers}
    assert met >= {*FAULTS, *HANGS, *ODD}
    assert {record.dialect for case in cases for record in case.records} >= {
        "openrouter",
        "cloudflare",
        "sarvam",
        "openai",
    }
    assert {case.told.spec.surface.path for case in cases if case.told.saw_end} == {each.path for each in SHARES}
    assert crowd.at_a_time >= 50
    assert len(lags) >= len(cases) / 10


def unexplained_s(crowd: Crowd, began: float, ended: float) -> float:
    """How much longer a close took than a loop that was as late as this one must take."""
    return ended - began - crowd.pulse.excused_s(began, ended)


def p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


def report(crowd: Crowd, cases: list[Case], lags: list[float], took_s: float, wrong: list[str]) -> None:
    endings = Counter(f"{row.outcome} {row.rule}" for case in cases for row in case.rows)
    hang_ups = sum(case.told.left_at is not None for case in cases)
    faults = sum(case.told.spec.kind == "fault" for case in cases)
    print(
        f"\n{len(cases)} calls in {took_s:.1f} s, {crowd.at_a_time:.0f} at a time; "
        f"{hang_ups} hang-ups, {faults} faults; {len(wrong)} differences\n"
        f"{len(lags)} closes: {in_ms(lags)}; loop late by {in_ms(crowd.pulse.lateness)}\n"
        f"{dict(sorted(endings.items()))}"
    )


def in_ms(values: list[float]) -> str:
    return f"p50 {median(values) * 1e3:.1f}, p99 {p99(values) * 1e3:.1f}, most {max(values) * 1e3:.1f} ms"
