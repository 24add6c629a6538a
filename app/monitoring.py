"""How a gateway is watched: its metrics, its readiness, the tasks that keep both, and the port that shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import structlog
import trio

from app.api.health import HealthServices, monitoring_app
from app.config import Settings
from app.observability.loop_lag import LoopLag
from app.observability.names import OTHER
from app.observability.observer import Observer
from app.observability.page import MetricsPage
from app.observability.readiness import Readiness
from app.observability.readings import Sources
from app.providers.breaker import Breakers
from app.providers.chat import ChatProvider
from app.providers.search.provider import SearchProvider
from app.server.serve import serve
from app.server.settings import ServerSettings
from app.storage import catalog as stored
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.migrations import moved_to
from app.usecases.books import BooksWatch
from app.usecases.channel_watch import ChannelWatch
from app.usecases.meter import Meter
from app.usecases.models import Models

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Watched:
    """The parts of a gateway that are looked at."""

    observer: Observer
    db: Database
    models: Models
    meter: Meter
    providers: Mapping[str, ChatProvider | SearchProvider]
    breakers: Breakers

    def connections(self) -> Iterator[tuple[str, str, int]]:
        """(provider, state, number)"""
        for name, provider in self.providers.items():
            yield name, "in use", provider.upstream.in_flight
            yield name, "idle", provider.upstream.idle

    def routes(self) -> Iterator[tuple[str, str, bool]]:
        """(provider, model, whether it is not asked); models that the catalog does not route to are one."""
        known = {route.upstream for model in self.models.catalog.models.values() for route in model.routes}
        for provider, model, down in self.breakers.states(trio.current_time()):
            yield provider, model if model in known and provider != "local" else OTHER, down


class Monitoring:
    """`health` is for the routes; `run` must run beside the server. `draining` says whether the end has begun."""

    def __init__(self, settings: Settings, watched: Watched, draining: Callable[[], bool]) -> None:
        observer, db = watched.observer, watched.db
        self._settings = settings
        self._books = BooksWatch(db)
        self._channels = ChannelWatch(db)
        self._observer = observer
        self._lag = LoopLag(observer.metrics.loop_lag_s)
        self._readiness = Readiness(
            lag=self._lag,
            stored_digest=partial(db.read, EVERY_TENANT, _digest_in_use),
            loaded_digest=lambda: watched.models.digest,
            draining=draining,
        )
        sources = Sources(
            active=lambda: observer.active,
            database=db.stats,
            queued=lambda: db.queued,
            books=self._books.stats,
            channels=self._channels.stats,
            settle_backlog=lambda: watched.meter.settler.backlog,
            swept=lambda: watched.meter.settler.swept,
            connections=watched.connections,
            breakers=watched.routes,
        )
        page = MetricsPage(observer, sources)
        self.health = HealthServices(self._readiness, page, settings.metrics_token)

    async def run(self, worker: int | None, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled, through the drain too. `started` once the port is open. Raises OSError if taken."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._observer.run)
            nursery.start_soon(self._lag.run)
            nursery.start_soon(self._readiness.run)
            if self._settings.metrics_port or self._settings.metrics_token:
                nursery.start_soon(self._books.run_count)
                nursery.start_soon(self._books.run_rounds)
                nursery.start_soon(self._channels.run)
            if self._settings.metrics_port:
                port = self._settings.metrics_port + (worker or 0)
                served = ServerSettings(host=self._settings.metrics_host, port=port, drain_s=0)
                app = monitoring_app(self.health)
                urls = await nursery.start(partial(serve, app, served, shutdown=trio.Event()))
                log.info("metrics.serving", urls=urls)
            task_status.started()


def _digest_in_use(db: Transaction) -> str | None:
    """The stored catalog's digest; None in a database that was moved away, which takes no calls any more."""
    return None if moved_to(db) else stored.stored_digest(db)
