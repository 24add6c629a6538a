"""The soak itself: crowd, phones, restarts, samples and audit side by side, from the first call to the last look."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from app.core.errors import Problem
from app.storage.database import open_database
from app.storage.engines import open_engine
from scripts.bench.graph import Graph
from scripts.bench.metrics_page import Samples
from scripts.bench.shop import open_shop
from scripts.soak.audit import SETTLED_S, Audit
from scripts.soak.crowd import Crowd
from scripts.soak.gates import Counts, judge
from scripts.soak.house import House
from scripts.soak.phones import Left, Phones, compared, left
from scripts.soak.plan import AFTERMATH_S, SoakPlan
from scripts.soak.report import Result, progress
from scripts.soak.samples import Outside, Phase, Sample, lag_p99_ms, look
from scripts.soak.verdicts import Outage

PROGRESS_S: Final = 10.0
#: For connections to close and threads to end, after the crowd has gone.
QUIET_S: Final = 45.0
#: The check of the books reads them all.
PATIENCE_S: Final = 300.0
#: Of messages that come soon after each other, so that a bot gives one answer.
DEBOUNCE_S: Final = 0.2
Say = Callable[[str], None]


async def soak(house: House, plan: SoakPlan, say: Say) -> Result:
    """The result, judged; of the part that was run when SIGINT or SIGTERM came. Raises BenchError without a bot."""
    engine = await open_engine(house.database_url, deadline_s=PATIENCE_S)
    async with open_database(engine, deadline_s=PATIENCE_S) as db, trio.open_nursery() as nursery:
        outages: list[Outage] = []
        crowd, graph = Crowd(house.doors, plan.rate, outages), Graph()
        await nursery.start(graph.serve, house.graph_port)
        shop = await open_shop(house.gateways[0].door.port, house.keys[0], debounce_s=DEBOUNCE_S)
        phones = Phones(graph, house.gates(shop), plan.messages, shop.number_id)
        result = Result(plan, tally=crowd.tally, phones=phones)
        await _Soak(house, plan, say, result, crowd, phones, outages, Audit(db, house.providers)).run()
        nursery.cancel_scope.cancel()
    return result


@dataclass(slots=True, eq=False)
class _Soak:
    house: House
    plan: SoakPlan
    say: Say
    result: Result
    crowd: Crowd
    phones: Phones
    outages: list[Outage]
    audit: Audit
    phase: Phase = "warm-up"
    began: float = 0.0
    said_at: float = float("-inf")
    page: Samples | None = None
    page_before_load: Samples | None = None
    left: Left = field(default_factory=lambda: Left(0, 0, 0))

    async def run(self) -> None:
        self.began = trio.current_time()
        async with trio.open_nursery() as nursery:
            load = trio.CancelScope()
            await nursery.start(self._watch_signals, load)
            nursery.start_soon(self._run_samples)
            with load:
                await self._load()
            load_page = self.page
            self.phase = "quiet"
            await self._wait_until_quiet()
            nursery.cancel_scope.cancel()
        self.phase = "end"
        await self._sample()
        self.result.lag_p99_ms = lag_p99_ms(self.page_before_load, load_page)
        await self._judge()

    async def _load(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_restarts)
            await self._be_busy(self.plan.warm_s)
            self.phase = "idle"
            await trio.sleep(self.plan.idle_s)
            await self._sample()
            self.phase, self.page_before_load = "load", self.page
            await self._be_busy(self.plan.load_s)
            nursery.cancel_scope.cancel()

    async def _be_busy(self, seconds: float) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.phones.write_for, seconds)
            await self.crowd.call_for(seconds)

    async def _watch_signals(self, load: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                self.say("interrupted: the crowd leaves, the rest is looked at; this takes a moment")
                self.result.interrupted = True
                load.cancel()

    async def _run_restarts(self) -> None:
        for at in self.plan.restarts():
            await trio.sleep_until(self.began + at)
            outage = Outage(trio.current_time())
            self.outages.append(outage)
            await self.audit.read_book()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self.house.providers.restart)
            self.audit.forget_book()
            back = trio.current_time()
            outage.until = back + AFTERMATH_S
            self.result.outages.append((outage.since - self.began, back - self.began))

    async def _run_samples(self) -> None:
        due = self.began
        while True:
            await trio.sleep_until(due)
            await self._sample()
            due = max(due + self.plan.sample_s, trio.current_time())

    async def _sample(self) -> None:
        self._hand_over()
        await self.audit.look()
        outside = await trio.to_thread.run_sync(look, self.house)
        self.left = await left(self.audit.db)
        sample = self._made(outside, await self.audit.open_holds())
        self.page = outside.page
        self.result.samples.append(sample)
        if sample.at_s - self.said_at >= PROGRESS_S or self.phase == "end":
            self.said_at = sample.at_s
            self.say(progress(sample, self.crowd.tally.wrong.total(), self.audit.differences.total()))

    def _hand_over(self) -> None:
        ended = self.crowd.tally.ended
        self.audit.expect([ended.popleft() for _ in range(len(ended))])

    def _made(self, seen: Outside, open_holds: int) -> Sample:
        return Sample(
            at_s=trio.current_time() - self.began,
            phase=self.phase,
            pids=seen.pids,
            rss_mb=seen.rss_mb,
            threads=seen.threads,
            descriptors=seen.descriptors,
            sockets=seen.sockets,
            clients=seen.clients,
            providers=seen.providers,
            pooled=seen.pooled,
            databases=seen.databases,
            tasks=seen.tasks,
            wal_mb=seen.wal_mb,
            lag_p99_ms=lag_p99_ms(self.page, seen.page),
            open_holds=open_holds,
            at_once=self.crowd.at_once,
            begun=self.crowd.tally.begun,
            unanswered=self.left.unsorted + self.left.unanswered,
            unsent=self.left.unsent,
        )

    async def _wait_until_quiet(self) -> None:
        """Until what the pause showed is all there is, or the time is up; then the last calls can be looked up."""
        idle = next((each for each in reversed(self.result.samples) if each.phase == "idle"), None)
        with trio.move_on_after(QUIET_S):
            await trio.sleep(SETTLED_S)
            while not self._is_quiet(self.result.samples[-1], idle):  # noqa: ASYNC110 - nobody tells of it
                await trio.sleep(self.plan.sample_s)

    def _is_quiet(self, now: Sample, idle: Sample | None) -> bool:
        if now.phase != "quiet" or now.clients or now.open_holds or now.unanswered or now.unsent or self.audit.waits:
            return False
        return idle is None or (now.threads <= idle.threads and now.descriptors <= idle.descriptors)

    async def _judge(self) -> None:
        broken, talk = None, None
        try:
            broken = len(await self.audit.broken_tenants())
            talk = await compared(self.audit.db, self.phones)
        except Problem as problem:
            self.say(f"the books could not be read: {problem}")
        audit, tally = self.audit, self.crowd.tally
        self.result.counts = Counts(
            wrong=tally.wrong,
            broken_tenants=broken,
            looked=audit.looked,
            priced=audit.priced,
            differences=audit.differences.total(),
            pids=frozenset(self.result.samples[0].pids),
            talk=talk,
            refused_webhooks=self.phones.refused,
        )
        self.result.differences = audit.examples
        self.result.gates = judge(self.result.samples, self.result.counts)
