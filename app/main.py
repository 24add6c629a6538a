"""The composition root: database > providers > services > server, nested so that each outlives its users."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
import trio
from quart_trio import QuartTrio

from app.api.access_log import AccessLog
from app.api.app import AppRules, create_app
from app.api.exchange import ExchangeRules
from app.api.services import ApiServices
from app.api.stream import StreamRules
from app.config import Settings
from app.core import tokens
from app.core.errors import UpstreamError, error_places
from app.providers.breaker import Breakers
from app.providers.chat import ChatProvider
from app.providers.registry import open_chat_providers
from app.server.serve import serve, watch_signals
from app.server.settings import ServerSettings
from app.storage.database import Database, open_database
from app.storage.migrations import migrate
from app.storage.sqlite import SqliteEngine
from app.usecases.access import Access
from app.usecases.chat import ChatServices
from app.usecases.local_models import local_models
from app.usecases.meter import Meter
from app.usecases.models import Models
from catalog.documents import CatalogError

log = structlog.get_logger(__name__)
PRICE_LIST_S = 3600.0
RETRY_LIST_S = 30.0


@asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[Database]:
    """The database that `DATABASE_URL` names, migrated. Raises NewerDatabase, StorageError, OSError."""
    settings.sqlite_path.parent.mkdir(parents=True, exist_ok=True)
    engine = SqliteEngine(settings.sqlite_path, settings.sqlite_synchronous)
    async with open_database(engine, deadline_s=settings.database_deadline_s) as db:
        await migrate(db)
        yield db


async def run_gateway(
    settings: Settings,
    *,
    shutdown: trio.Event,
    hurry: trio.Event,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `shutdown`; `started` gives the base URLs. At the end every call is settled, every socket closed."""
    tokens.warm()
    with _open_access_log(settings) as access_log:
        async with (
            open_storage(settings) as db,
            open_chat_providers(settings) as providers,
            trio.open_nursery() as nursery,
        ):
            models = await Models.open(db)
            meter = Meter(db, hold_s=settings.hold_s)
            await meter.sweep()
            chat = ChatServices(meter, models, providers, Breakers(), settings.secret_key)
            rules = StreamRules(settings.first_byte_grace_s, settings.heartbeat_s, settings.write_deadline_s)
            access = Access(db, settings.secret_key.encode())
            app = _app(settings, ApiServices(db, access, chat, rules), access_log)
            nursery.start_soon(meter.run_sweeper, settings.sweep_s)
            nursery.start_soon(models.run_reloader)
            for name in ("local", "openrouter"):
                if name in providers:
                    nursery.start_soon(_run_model_list, name, providers[name], models)
            try:
                await serve(app, _server_settings(settings), shutdown=shutdown, hurry=hurry, task_status=task_status)
            finally:
                nursery.cancel_scope.cancel()


async def run_until_signal(settings: Settings, on_ready: Callable[[list[str]], None] | None = None) -> None:
    """`run_gateway` for a process of its own: the first SIGINT or SIGTERM drains, the second hurries."""
    shutdown, hurry = trio.Event(), trio.Event()

    async def run(*, task_status: trio.TaskStatus[list[str]]) -> None:
        await run_gateway(settings, shutdown=shutdown, hurry=hurry, task_status=task_status)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        await nursery.start(watch_signals, shutdown, hurry)
        urls = await nursery.start(run)
        gc.collect()
        gc.freeze()  # what lives as long as the process is not worth looking at again: full collections stop the loop
        log.info("gateway.serving", urls=urls)
        if on_ready is not None:
            on_ready(urls)
        await shutdown.wait()
        log.info("gateway.draining", seconds=settings.drain_s)


@contextmanager
def _open_access_log(settings: Settings) -> Iterator[AccessLog | None]:
    """A file gets each line at once, so that `tail -f` shows it. Raises OSError when it cannot be opened."""
    if not settings.access_log:
        yield None
    elif not settings.access_log_file:
        yield AccessLog(sys.stdout)
    else:
        with open(settings.access_log_file, "a", buffering=1, encoding="utf-8") as file:
            yield AccessLog(file)


def _app(settings: Settings, services: ApiServices, access_log: AccessLog | None) -> QuartTrio:
    exchange = ExchangeRules(body_cap=settings.body_cap_bytes, dashboard_origin=settings.dashboard_origin or None)
    return create_app(services, AppRules(exchange, access_log))


def _server_settings(settings: Settings) -> ServerSettings:
    return ServerSettings(
        host=settings.host,
        port=settings.port,
        certfile=settings.certfile or None,
        keyfile=settings.keyfile or None,
        write_deadline_s=settings.write_deadline_s,
        drain_s=settings.drain_s,
    )


async def _run_model_list(name: str, provider: ChatProvider, models: Models) -> None:
    """Keep what an upstream itself lists: the self-hosted server's models, OpenRouter's prices.

    Whatever an upstream lists, it must not end the gateway.
    """
    while True:
        pause_s = PRICE_LIST_S if name == "openrouter" else RETRY_LIST_S
        try:
            listed = await provider.list_models()
            if name == "local":
                models.set_extra("local", local_models(listed))
            else:
                models.set_price_list(listed)
        except (UpstreamError, CatalogError) as error:
            log.warning("models.list_failed", provider=name, error=str(error))
            pause_s = RETRY_LIST_S
        except Exception as error:  # noqa: BLE001 - our bug, met with their words
            log.error("models.list_crashed", provider=name, errors=error_places(error))
            pause_s = RETRY_LIST_S
        await trio.sleep(pause_s)
