"""In every shape the ledger equals the providers' book to the token, and no call is lost when replicas are replaced."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.e2e.audit import Case, collect, differences
from tests.e2e.crowd import BEARABLE, Crowd, Spec, specs
from tests.e2e.settlement import until
from tests.e2e.topology import ON_EACH, REPLICATED, Shape, open_topology

CALLS: Final = int(os.environ.get("TOPOLOGY_CALLS", "120"))
CLIENTS: Final = 48
SEED: Final = 20261122
#: Processes that share two cores may be kept waiting for this long with bytes in their sockets.
IN_SOCKETS_S: Final = 0.25


@ON_EACH
async def test_the_ledger_equals_the_providers_book_to_the_token(
    shape: Shape, database_url: str, tmp_path: Path
) -> None:
    async with open_topology(shape, tmp_path, database_url) as topology:
        with topology.open_ledger() as ledger:
            crowd = Crowd(topology.ground.customer, topology.pick, lambda call_id: ledger.row(call_id).state, CLIENTS)
            began = trio.current_time()
            await crowd.make(specs(CALLS, SEED, BEARABLE))
            took_s = trio.current_time() - began
            await until(lambda: not ledger.rows("state = 'held'"))
            await until(lambda: all(record.outcome is not None for record in topology.ground.book.records()))
            in_sockets_s = max(IN_SOCKETS_S, 2 * max(crowd.pulse.lateness))
            cases = collect(topology.ground.book, ledger.rows(), crowd.told, in_sockets_s)
            wrong = [f"{case.told.spec}: {what}" for case in cases for what in differences(case)]
            report(shape, cases, took_s, wrong)
            assert wrong == []
            assert len(cases) == CALLS
            check_mix(cases)
            topology.check_money(ledger)


def check_mix(cases: list[Case]) -> None:
    """The crowd was as bad as it was meant to be, and most of it was served."""
    outcomes = Counter(row.outcome for case in cases for row in case.rows)
    assert sum(case.told.left_at is not None for case in cases) >= 0.3 * len(cases)
    assert outcomes["completed"] >= 0.4 * len(cases)
    assert outcomes["cancelled"] >= 0.2 * len(cases)
    assert outcomes["failed"] >= 0.04 * len(cases)


def report(shape: Shape, cases: list[Case], took_s: float, wrong: list[str]) -> None:
    endings = Counter(f"{row.outcome} {row.rule}" for case in cases for row in case.rows)
    hang_ups = sum(case.told.left_at is not None for case in cases)
    print(
        f"\n{shape.name}: {len(cases)} calls, {hang_ups} hang-ups in {took_s:.0f} s; {len(wrong)} differences; "
        f"{dict(sorted(endings.items()))}"
    )


def patient(seed: int) -> Iterator[Spec]:
    """Clients that want a whole answer of about a second, for ever."""
    return (replace(spec, tokens=20) for spec in specs(10**9, seed) if spec.kind == "plain" and spec.cut is None)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_replicas_are_replaced_one_after_the_other_and_no_call_that_had_begun_is_lost(
    database_url: str, tmp_path: Path
) -> None:
    async with open_topology(REPLICATED, tmp_path, database_url, drain_grace_s=0.3, drain_s=20.0) as topology:
        with topology.open_ledger() as ledger:
            crowd = Crowd(topology.ground.customer, topology.pick, lambda call_id: ledger.row(call_id).state, 8)
            is_over = False
            calls = patient(SEED)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(crowd.make, iter(lambda: None if is_over else next(calls), None))
                await until(lambda: len(crowd.told) >= 8)
                for front in topology.fronts:
                    assert await front.end(signal.SIGTERM) == 0
                    await front.start()
                is_over = True
            cases = collect(topology.ground.book, ledger.rows(), crowd.told, IN_SOCKETS_S)
            assert [case.told for case in cases if not case.told.saw_end] == []
            assert [f"{case.told.spec}: {what}" for case in cases for what in differences(case)] == []
            topology.check_money(ledger)
            print(f"\n{REPLICATED.name}, each replaced: {len(cases)} calls, all of them whole and charged")
