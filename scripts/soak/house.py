"""Everything a soak needs, as processes: providers that can be restarted, gateways, and their database."""

from __future__ import annotations

import http.client
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from app.config import Secret, Settings
from app.storage.engines import sqlite_path
from scripts.bench.hooks import Gate
from scripts.bench.metrics_page import Samples, free_ports, read_page, samples
from scripts.bench.processes import Recipe, Running, open_system
from scripts.bench.questions import HOST, Door
from scripts.bench.shop import Shop
from scripts.bench.systems import free_port, gateway, new_key, seed, upstream
from scripts.clustering.postgres import open_postgres
from scripts.launching.simulator import with_simulator
from scripts.soak.sockets import Ports

TENANTS: Final = 8
#: A client that does not read is cut off after so long, so that many are in a short run.
WRITE_DEADLINE_S: Final = 4.0
DRAIN_S: Final = 5.0
_POSTGRES_PORT: Final = 5432
_BOOK_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Layout:
    """How many gateways there are; more than one replica need a PostgreSQL, which is started where no URL is given."""

    workers: int = 1
    replicas: int = 1
    database_url: str = ""

    @property
    def processes(self) -> int:
        return max(self.workers, self.replicas)


@dataclass(slots=True)
class Providers:
    """The simulator as a process that goes away and comes back on the same port."""

    recipe: Recipe
    folder: Path
    _stack: ExitStack

    def start(self) -> None:
        """Raises BenchError when it does not answer."""
        self._stack.enter_context(open_system(self.recipe, self.folder, None))

    def restart(self) -> None:
        self._stack.close()
        self.start()

    def book(self, since: int) -> list[dict[str, Any]]:
        """What it served, from this record on; nothing while it is away."""
        connection = http.client.HTTPConnection(HOST, self.recipe.door.port, timeout=_BOOK_S)
        try:
            with suppress(OSError, http.client.HTTPException):
                connection.request("GET", f"/book?since={since}")
                return msgspec.json.decode(connection.getresponse().read(), type=list[dict[str, Any]])
        finally:
            connection.close()
        return []


@dataclass(frozen=True, slots=True)
class House:
    """What the soak works with. `keys` are one for each tenant; somebody else serves a Graph API at `graph_port`."""

    layout: Layout
    providers: Providers
    gateways: Sequence[Running]
    keys: Sequence[str]
    database_url: str
    ports: Ports
    graph_port: int

    def gates(self, shop: Shop) -> list[Gate]:
        """Where webhooks of this shop may come in: at every gateway."""
        return [shop.gate(each.door.port) for each in self.gateways]

    @property
    def doors(self) -> list[Door]:
        """Every gateway for every tenant."""
        return [replace(each.door, key=key) for each in self.gateways for key in self.keys]

    @property
    def wal(self) -> Path | None:
        """SQLite's log."""
        path = sqlite_path(self.database_url)
        return None if path is None else path.with_name(path.name + "-wal")

    def metrics(self) -> Samples | None:
        """The sum over all processes; None when one of them shows none."""
        pages = [read_page(port) for port in sorted(self.ports.metrics)]
        return samples("".join(page for page in pages if page)) if all(pages) else None


@contextmanager
def open_house(layout: Layout, folder: Path) -> Iterator[House]:
    """All of it, answering. Raises BenchError with the last words of what does not start."""
    with ExitStack() as stack:
        url = layout.database_url or _own_database(layout, folder, stack)
        providers = Providers(upstream(free_port()), folder, stack.enter_context(ExitStack()))
        providers.start()
        metrics, keys = free_ports(layout.processes), [new_key() for _ in range(TENANTS)]
        graph_port = free_port()
        settings = _settings(url, providers.recipe.door, graph_port, folder / "blobs")
        seed(folder, keys, settings)
        gateways = []
        for number in range(layout.replicas):
            own = folder / f"gateway-{number}"
            own.mkdir()
            recipe = gateway(settings | {"METRICS_PORT": str(metrics[number])}, keys[0], workers=layout.workers)
            gateways.append(stack.enter_context(open_system(recipe, own, None)))
        doors = frozenset(each.door.port for each in gateways)
        ports = Ports(doors, frozenset(metrics), providers.recipe.door.port, _database_port(url), graph_port)
        yield House(layout, providers, gateways, keys, url, ports, graph_port)


def _own_database(layout: Layout, folder: Path, stack: ExitStack) -> str:
    if layout.replicas == 1:
        return f"sqlite:///{folder / 'gateway.db'}"
    return stack.enter_context(open_postgres(folder / "postgres" / "data", durable=True)).create()


def _settings(url: str, source: Door, graph_port: int, blobs: Path) -> dict[str, str]:
    """Everything on, as in production; the access log goes where it takes no room in a day."""
    settings = Settings(
        database_url=url,
        secret_key=Secret(secrets.token_hex(16)),
        write_deadline_s=WRITE_DEADLINE_S,
        drain_s=DRAIN_S,
        access_log_file="/dev/null",
        meta_graph_url=f"http://{HOST}:{graph_port}/v25.0",
        blob_dir=str(blobs),
    )
    return with_simulator(settings, f"http://{HOST}:{source.port}").environment()


def _database_port(url: str) -> int | None:
    return None if sqlite_path(url) is not None else urlsplit(url).port or _POSTGRES_PORT
