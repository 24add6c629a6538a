"""Gateways that share one database: workers on one port over SQLite, replicas on a port each over PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.bench.figures import Engine
from scripts.bench.metrics_page import Samples, free_ports, read_page, samples
from scripts.bench.processes import Running, open_system
from scripts.bench.questions import Door
from scripts.bench.systems import gateway, gateway_settings, new_key, seed


@dataclass(frozen=True, slots=True)
class Fleet:
    """Running gateways, and a key of each tenant."""

    members: Sequence[Running]
    keys: Sequence[str]
    metrics_ports: Sequence[int]

    @property
    def doors(self) -> list[Door]:
        return [member.door for member in self.members]

    def cpu_s_when_quiet(self) -> float | None:
        """Of all processes, once they work no more."""
        usages = [member.usage_when_quiet() for member in self.members]
        return sum(usage.cpu_s for usage in usages if usage) if all(usages) else None

    def metrics(self) -> Samples:
        """The sum over all processes; empty when one of them shows none."""
        pages = [read_page(port) for port in self.metrics_ports]
        return samples("".join(page for page in pages if page)) if all(pages) else Samples()


@contextmanager
def open_fleet(
    engine: Engine, processes: int, tenants: int, database_url: str, source: Door, folder: Path
) -> Iterator[Fleet]:
    """The gateways, answering, over a database that is made here. Raises BenchError."""
    keys = [new_key() for _ in range(tenants)]
    settings = gateway_settings(database_url, source)
    ports = free_ports(processes)
    seed(folder, keys, settings)
    with ExitStack() as stack:
        if engine == "sqlite":
            recipes = [gateway(settings | {"METRICS_PORT": str(ports[0])}, keys[0], workers=processes)]
        else:
            recipes = [gateway(settings | {"METRICS_PORT": str(port)}, keys[0]) for port in ports]
        members = []
        for number, recipe in enumerate(recipes):
            own = folder / str(number)
            own.mkdir()
            members.append(stack.enter_context(open_system(recipe, own, None)))
        yield Fleet(members, keys, ports)
