"""WhatsApp: how soon a webhook is acknowledged, how long our own part of an answer takes, a thousand users at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

import msgspec
import trio

from scripts.bench.figures import milliseconds, number, percentile
from scripts.bench.graph import Graph
from scripts.bench.hooks import Acks, Gate, post, text
from scripts.bench.proc import PROC, session_usage
from scripts.bench.processes import BenchError, Cores, Running, available_cores, open_system, pin
from scripts.bench.questions import HOST
from scripts.bench.report import table
from scripts.bench.shop import Shop, open_shop
from scripts.bench.systems import gateway, gateway_settings, new_key, seed, upstream

PER_S: Final = 200
BATCH: Final = 1000
USERS: Final = 1000
THINK_MS: Final = 5000
WARM: Final = 100
LEGEND: Final = """\
One gateway process with everything on (SQLite, synchronous=FULL, access log) on one core; load, model and Graph API on
another. Acknowledged: from when a webhook was due to the last byte of its 200, the durable write included; each brings
a message of one of 500 users, which is also sorted into its conversation meanwhile; the bot is switched off. Our own
part: from the webhook's first byte to the reply's arrival at the Graph API, one user at a time, debounce 0, with a
model that answers at once; its call through the gateway is in it. A thousand users write at once, the model takes 5 s
for each of them."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `goal` and `unit` are words."""

    what: str
    value: float | None
    unit: str
    goal: str


@dataclass(slots=True)
class _Bench:
    """A gateway with a bot at a connected number, and the Graph API that it speaks to."""

    system: Running
    graph: Graph
    shop: Shop

    @property
    def gate(self) -> Gate:
        return self.shop.gate(self.system.door.port)


def run_whatsapp(seconds: float, say: Callable[[str], None]) -> list[Figure]:
    """Every figure. Raises BenchError or OSError when a system does not start."""
    cores = Cores.choose(available_cores())
    pin(os.getpid(), cores.load)
    with TemporaryDirectory(prefix="gateway-bench-") as name:
        folder = Path(name)
        say("starting upstream and gateway")
        with open_system(upstream(_free()), folder, cores.upstream) as source:
            key, graph_port = new_key(), _free()
            settings = gateway_settings(f"sqlite:///{folder / 'gateway.db'}", source.door)
            settings |= {"META_GRAPH_URL": f"http://{HOST}:{graph_port}/v25.0", "BLOB_DIR": str(folder / "blobs")}
            seed(folder, [key], settings)
            with open_system(gateway(settings, key), folder, cores.system) as system:
                return trio.run(_run, system, key, graph_port, seconds, say)


async def _run(system: Running, key: str, graph_port: int, seconds: float, say: Callable[[str], None]) -> list[Figure]:
    graph = Graph()
    async with trio.open_nursery() as nursery:
        await nursery.start(graph.serve, graph_port)
        bench = _Bench(system, graph, await open_shop(system.door.port, key, debounce_s=0))
        figures: list[Figure] = []
        for measure in (_acks, _batches, _own, _crowd):
            found = await measure(bench, seconds)
            for one in found:
                say(f"{one.what}: {one.value} {one.unit}")
            figures += found
        nursery.cancel_scope.cancel()
    return figures


async def _acks(bench: _Bench, seconds: float) -> list[Figure]:
    await bench.shop.switch(on=False)
    count = int(PER_S * seconds)
    bodies = [bench.gate.envelope([text(f"ack.{n}", f"9198{n % 500:08}")]) for n in range(WARM + count)]
    await post(bench.gate, bodies[:WARM], PER_S)
    before = session_usage(bench.system.pid) if PROC.is_dir() else None
    began = perf_counter()
    acks = await post(bench.gate, bodies[WARM:], PER_S)
    lasted = perf_counter() - began
    after = session_usage(bench.system.pid) if PROC.is_dir() else None
    _check(acks)
    share = None if before is None or after is None else (after.cpu_s - before.cpu_s) / lasted * 100
    await bench.shop.switch(on=True)
    return [
        Figure(f"acknowledged at {PER_S}/s, p50", milliseconds(percentile(acks.waits, 0.5)), "ms", "≤ 10"),
        Figure(f"acknowledged at {PER_S}/s, p99", milliseconds(percentile(acks.waits, 0.99)), "ms", "≤ 100"),
        Figure("one core used by that", share, "%", ""),
    ]


async def _batches(bench: _Bench, _seconds: float) -> list[Figure]:
    await bench.shop.switch(on=False)
    waits: list[float] = []
    for turn in range(5):
        body = bench.gate.envelope([text(f"batch.{turn}.{n}", f"9197{n:08}") for n in range(BATCH)])
        acks = await post(bench.gate, [body], 1.0, connections=1)
        _check(acks)
        waits += acks.waits
        await trio.sleep(2)
    await bench.shop.switch(on=True)
    return [Figure(f"a batch of {BATCH} acknowledged, the slowest of 5", milliseconds(max(waits)), "ms", "≤ 250")]


async def _own(bench: _Bench, seconds: float) -> list[Figure]:
    took: list[float] = []
    for turn in range(max(20, int(seconds * 5))):
        phone = f"9196{turn:08}"
        began = perf_counter()
        _check(await post(bench.gate, [bench.gate.envelope([text(f"own.{turn}", phone)])], 1.0, connections=1))
        if not await bench.graph.until(turn + 1, 10):
            raise BenchError("a reply did not arrive within 10 s")
        took.append(bench.graph.came[phone][0] - began)
    return [
        Figure("webhook to reply, p50", milliseconds(percentile(took, 0.5)), "ms", "≤ 30"),
        Figure("webhook to reply, p99", milliseconds(percentile(took, 0.99)), "ms", ""),
    ]


async def _crowd(bench: _Bench, _seconds: float) -> list[Figure]:
    before = bench.graph.texts
    words = f"Do you have green tea? [first={THINK_MS}][tokens=20]"
    phones = [f"9195{n:08}" for n in range(USERS)]
    began = perf_counter()
    bodies = [bench.gate.envelope([text(f"crowd.{phone}", phone, words)]) for phone in phones]
    _check(await post(bench.gate, bodies, PER_S))
    if not await bench.graph.until(before + USERS, 120):
        raise BenchError(f"{before + USERS - bench.graph.texts} of {USERS} replies did not arrive within 120 s")
    lasted = perf_counter() - began
    await trio.sleep(1)
    twice = sum(len(bench.graph.came[phone]) != 1 for phone in phones)
    usage = session_usage(bench.system.pid) if PROC.is_dir() else None
    return [
        Figure(f"{USERS} users at once: the last reply after", lasted, "s", ""),
        Figure("replies that came twice", float(twice), "", "0"),
        Figure("memory of the gateway then", None if usage is None else usage.rss_mb, "MB", ""),
    ]


def render(figures: list[Figure]) -> str:
    rows = [
        [one.what, "–" if one.value is None else f"{number(one.value)} {one.unit}".strip(), one.goal] for one in figures
    ]
    return f"WhatsApp\n\n{table(['', 'measured', 'goal'], rows)}\n\n{LEGEND}"


def as_json(figures: list[Figure], about: dict[str, object]) -> bytes:
    """The run as one document."""
    return msgspec.json.format(
        msgspec.json.encode({**about, "legend": LEGEND.splitlines(), "whatsapp": figures}), indent=2
    )


def _check(acks: Acks) -> None:
    if acks.errors:
        raise BenchError(f"{acks.errors} webhooks were not taken, the first: {acks.first_error}")


def _free() -> int:
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port
