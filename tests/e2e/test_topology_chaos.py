"""kill -9 of processes and of the database server, again and again: the books balance in every shape.

The long form takes some minutes: `TOPOLOGY_KILLS=40 pytest -o faulthandler_timeout=0 tests/e2e/test_topology_chaos.py`.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import trio

from tests.e2e.audit import collect
from tests.e2e.crowd import BEARABLE, Spec, specs
from tests.e2e.settlement import LedgerView, until
from tests.e2e.topology import ON_EACH_OWN, Shape, open_topology, own_database
from tests.e2e.topology_chaos import Chaos, Survivors, kept_after_all, wrongs

KILLS: Final = int(os.environ.get("TOPOLOGY_KILLS", "2"))
SEED: Final = int(os.environ.get("TOPOLOGY_SEED", "1"))
CLIENTS: Final = 16
#: The database may be away for longer than an answer waits for it.
TIMES: Final[dict[str, Any]] = {"hold_s": 4.0, "sweep_s": 0.1, "settle_s": 0.7, "database_deadline_s": 1.0}
OUTAGE_S: Final = 1.5
FREED_S: Final = TIMES["hold_s"] + 5


@ON_EACH_OWN
async def test_whatever_dies_each_call_ends_once_and_nobody_pays_for_what_was_not_sent(
    shape: Shape, tmp_path: Path
) -> None:
    began = trio.current_time()
    is_over = False

    def calls() -> Iterator[Spec]:
        for spec in specs(10**9, SEED, BEARABLE):
            if is_over:
                return
            yield replace(spec, tokens=min(spec.tokens, 20))

    with own_database(shape, tmp_path) as (url, server):
        async with open_topology(shape, tmp_path, url, **TIMES) as topology:
            crowd = Survivors(topology.ground.customer, topology.pick, lambda _: "not asked", CLIENTS)
            chaos = Chaos(topology, server, random.Random(SEED), OUTAGE_S)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(crowd.make, calls())
                await chaos.reign(KILLS)
                is_over = True
            with topology.open_ledger() as ledger:
                await until(lambda: not ledger.rows("state = 'held'"), FREED_S)
                wrong = audit(chaos, crowd, ledger, trio.current_time() - began)
        assert wrong == []


def audit(chaos: Chaos, crowd: Survivors, ledger: LedgerView, took_s: float) -> list[str]:
    """Everything that does not add up; prints what was tried."""
    book, shape = chaos.topology.ground.book, chaos.topology.shape
    known = {told.call_id for told in crowd.told}
    rows = ledger.rows()
    # Of these nobody knows more than that the gateway had taken a hold.
    strays = [row for row in rows if row.tag is None and row.id not in known]
    cases = collect(book, [row for row in rows if row.tag or row.id in known], crowd.told, 0.0)
    wrong = [f"{case.told}: {what}" for case in cases for what in wrongs(case)]
    wrong += [f"{row} is not free" for row in strays if row.charge]
    reached = {record.tag for record in book.records() if record.tag}
    if len(reached) > len(rows):
        wrong.append(f"{len(reached)} calls reached a provider and {len(rows)} were admitted")
    kept = sum(map(kept_after_all, cases))
    if kept > chaos.kills["the database"] * shape.processes:
        wrong.append(f"{kept} charged although told that the database is away: more than commits were under way")
    whole = sum(told.saw_end for told in crowd.told)
    refused = sum(told.code == "storage_unavailable" for told in crowd.told)
    ends = Counter(f"{row.state} {row.outcome}" for row in rows)
    print(
        f"\n{shape.name}: {len(crowd.told)} calls, {whole} complete, {len(crowd.told) - whole} cut or refused, "
        f"{refused} as the database was away ({kept} were settled all the same); {chaos.kills['processes']} kills of "
        f"processes, {chaos.kills['the database']} of the database; {took_s:.0f} s (seed {SEED}); "
        f"{len(wrong)} differences\n{dict(sorted(ends.items()))}"
    )
    chaos.topology.check_money(ledger)
    assert whole >= KILLS
    assert ends["expired interrupted"] >= min(1, chaos.kills["processes"])
    return wrong
