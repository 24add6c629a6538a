"""The whole run: start every system, warm it up, measure every load in turns, stop everything."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from scripts.bench.figures import LOADS, Kind, Measure, System
from scripts.bench.measure import Point, Rig, measure, warm_up
from scripts.bench.processes import Cores, Running, available_cores, open_system, pin
from scripts.bench.systems import build, free_port, upstream

WARM_S: Final = 1.5
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What is measured, for how long and how often; `wrk` is its path or None."""

    seconds: float
    rounds: int
    kinds: tuple[Kind, ...]
    peers: tuple[System, ...]
    wrk: str | None


def run(plan: RunPlan, say: Say) -> Generator[tuple[Measure, str | None]]:
    """Each measurement as it is made, with its first error in words. Close it to stop every system.

    Raises BenchError, OSError or CalledProcessError when a system does not start or does not live through it.
    """
    with TemporaryDirectory(prefix="gateway-bench-") as name:
        folder = Path(name)
        rig = Rig(plan.seconds, folder, plan.wrk)
        with _open_systems(plan, folder, say) as systems:
            say("warming up")
            for system in systems:
                for kind in plan.kinds:
                    if takes(system.name, kind):
                        warm_up(system, kind, WARM_S)
            named = {system.name: system for system in systems}
            for point, peer in schedule(plan):
                yield measure(named[peer], point, rig)


def schedule(plan: RunPlan) -> Iterator[tuple[Point, System]]:
    """Who is measured when: the systems take turns at every load, in an order that turns round after each round."""
    for turn in range(1, plan.rounds + 1):
        peers = plan.peers if turn % 2 else plan.peers[::-1]
        for kind in plan.kinds:
            for load in LOADS[kind]:
                for peer in peers:
                    if takes(peer, kind):
                        yield Point(kind, load, turn), peer


def takes(peer: System, kind: Kind) -> bool:
    """An echo has no tokens to stream."""
    return kind == "json" or peer != "echo"


@contextmanager
def _open_systems(plan: RunPlan, folder: Path, say: Say) -> Iterator[list[Running]]:
    """The upstream, which is always there, and each peer; this process goes to the core of the load."""
    cores = Cores.choose(available_cores())
    pin(os.getpid(), cores.load)
    with ExitStack() as stack:
        say("starting upstream")
        source = stack.enter_context(open_system(upstream(free_port()), folder, cores.upstream))
        systems = [source]
        for peer in plan.peers:
            if peer != "upstream":
                say(f"starting {peer}")
                recipe = build(peer, folder, source.door)
                systems.append(stack.enter_context(open_system(recipe, folder, cores.system)))
        yield [system for system in systems if system.name in plan.peers]
