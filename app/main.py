"""The composition root: database > providers > services > server, nested so that each outlives its users."""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
import trio

from app.api.access_log import AccessLog
from app.api.app import AppRules, create_app
from app.api.exchange import ExchangeRules
from app.api.services import ApiServices
from app.api.stream import StreamRules
from app.config import Settings
from app.core import tokens
from app.core.addresses import read_networks
from app.core.errors import UpstreamError, error_places
from app.core.file_links import image_links
from app.core.sealing import Sealer
from app.monitoring import Monitoring, Watched
from app.observability.log import process_names
from app.observability.observer import open_observer
from app.providers.breaker import Breakers
from app.providers.chat import ChatProvider
from app.providers.receivers import Receivers
from app.providers.registry import open_chat_providers, open_search_providers
from app.server.serve import serve, watch_signals
from app.server.settings import ServerSettings
from app.storage.blobs import Blobs
from app.storage.database import Database, open_database
from app.storage.engines import open_engine
from app.storage.migrations import migrate
from app.switchboard import Core, connect, open_ways
from app.usecases.access import Access
from app.usecases.accounts import Accounts, Doors
from app.usecases.bots import Bots
from app.usecases.chat_services import ChatServices
from app.usecases.conversations import Conversations
from app.usecases.credits import Credits
from app.usecases.deliveries import Deliveries
from app.usecases.delivery_log import DeliveryLog
from app.usecases.idempotency import Idempotency
from app.usecases.image_history import ImageHistory
from app.usecases.images import ImageServices
from app.usecases.keys import Keys
from app.usecases.local_models import local_models
from app.usecases.meter import Meter
from app.usecases.models import Models
from app.usecases.outbox_upkeep import OutboxUpkeep
from app.usecases.passwords import Passwords
from app.usecases.profile import Profiles
from app.usecases.responses import Responses
from app.usecases.routed import RoutedServices
from app.usecases.search import SearchServices
from app.usecases.sessions import Sessions
from app.usecases.team import Team
from app.usecases.throttle import Throttle
from app.usecases.transcribe import AudioServices
from app.usecases.usage import Usage
from app.usecases.webhooks import Webhooks
from catalog.documents import CatalogError

log = structlog.get_logger(__name__)
PRICE_LIST_S = 3600.0
RETRY_LIST_S = 30.0
LAST_FLUSH_S = 2.0


@asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[Database]:
    """The database that `DATABASE_URL` names, migrated. Raises NewerDatabase, StorageError, OSError."""
    engine = await open_engine(
        settings.database_url, synchronous=settings.sqlite_synchronous, deadline_s=settings.database_deadline_s
    )
    async with open_database(engine, deadline_s=settings.database_deadline_s) as db:
        await migrate(db)
        yield db


async def run_gateway(
    settings: Settings,
    *,
    shutdown: trio.Event,
    hurry: trio.Event,
    sockets: tuple[socket.socket, ...] = (),
    worker: int | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `shutdown`; `started` gives the base URLs. At the end every call is settled, every socket closed.

    `sockets`, bound by somebody else, replace the host and the port of the settings; `worker` is this process's number
    among those that share them.
    """
    tokens.warm()
    with _open_access_log(settings, worker) as access_log:
        async with (
            open_observer(settings.otel_exporter_otlp_endpoint) as observer,
            open_storage(settings) as db,
            open_chat_providers(settings) as providers,
            open_search_providers(settings) as search_providers,
            open_ways(settings) as lines,
            trio.open_nursery() as nursery,
        ):
            models = await Models.open(db)
            meter = Meter(db, hold_s=settings.hold_s, settle_s=settings.settle_s)
            breakers = Breakers()
            chat = ChatServices(meter, models, providers, breakers, settings.secret_key, observer)
            rules = StreamRules(settings.first_byte_grace_s, settings.heartbeat_s, settings.write_deadline_s)
            sealer = Sealer(settings.secret_key)
            watched = Watched(observer, db, models, meter, {**providers, **search_providers}, breakers)
            monitoring = Monitoring(settings, watched, shutdown.is_set)
            routed = RoutedServices(meter, models, breakers, observer)
            responses = Responses(db)
            idempotency = Idempotency(db, sealer)
            blobs, links = Blobs(Path(settings.blob_dir)), image_links(settings.secret_key)
            history = ImageHistory(db, blobs, links, keep_days=settings.image_history_days)
            search = SearchServices(routed, search_providers, settings.search_default_provider)
            sessions = Sessions(db, settings.secret_key)
            doors = _doors(settings, db, sessions, models)
            accounts = Accounts(doors)
            audio = AudioServices(routed, providers)
            switchboard = connect(settings, Core(db, sealer, meter, models, chat, audio, search), lines)
            services = ApiServices(
                *(db, Access(db, settings.secret_key.encode()), chat, rules, monitoring.health, routed, responses),
                search=search,
                audio=audio,
                images=ImageServices(routed, providers, history),
                public_url=settings.public_url.rstrip("/"),
                sessions=sessions,
                accounts=accounts,
                profiles=Profiles(doors),
                team=Team(doors),
                bots=Bots(db, sealer, private=settings.webhook_allow_private),
                conversations=Conversations(db),
                keys=Keys(db, settings.secret_key.encode(), models),
                credits=Credits(db, models),
                idempotency=idempotency,
                webhooks=Webhooks(db, sealer, private=settings.webhook_allow_private),
                delivery_log=DeliveryLog(db),
                usage=Usage(db, models),
                intake=switchboard.intake,
                dead_letters=switchboard.dead_letters,
                office=switchboard.office,
                media_links=switchboard.media_links,
            )
            deliveries = Deliveries(db, sealer, Receivers(private=settings.webhook_allow_private))
            app = create_app(services, AppRules(_exchange_rules(settings), access_log, observer))
            await nursery.start(monitoring.run, worker)
            nursery.start_soon(meter.settler.run_sweeper, settings.sweep_s, meter.renew_s)
            nursery.start_soon(meter.run_renewer)
            nursery.start_soon(meter.settler.run)
            nursery.start_soon(models.run_reloader)
            nursery.start_soon(responses.run_sweeper)
            nursery.start_soon(accounts.run_sweeper)
            nursery.start_soon(idempotency.run_sweeper)
            nursery.start_soon(history.run_sweeper)
            nursery.start_soon(deliveries.run, shutdown, hurry)
            nursery.start_soon(OutboxUpkeep(db).run)
            switchboard.start(nursery, shutdown, hurry)
            for name in ("local", "openrouter"):
                if name in providers:
                    nursery.start_soon(_run_model_list, name, providers[name], models)
            try:
                served = _server_settings(settings, sockets)
                await serve(app, served, shutdown=shutdown, hurry=hurry, task_status=task_status)
                await deliveries.ended.wait()
                await switchboard.ended()
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_FLUSH_S):
                    await meter.settler.flush()
                nursery.cancel_scope.cancel()


async def run_until_signal(
    settings: Settings,
    on_ready: Callable[[list[str]], None] | None = None,
    *,
    sockets: tuple[socket.socket, ...] = (),
    worker: int | None = None,
    until: Callable[[], Awaitable[None]] = trio.sleep_forever,
) -> None:
    """`run_gateway` for a process of its own: the first SIGINT or SIGTERM drains, or `until`; the second hurries."""
    shutdown, hurry = trio.Event(), trio.Event()

    async def run(*, task_status: trio.TaskStatus[list[str]]) -> None:
        await run_gateway(
            settings, shutdown=shutdown, hurry=hurry, sockets=sockets, worker=worker, task_status=task_status
        )
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        await nursery.start(watch_signals, shutdown, hurry)
        nursery.start_soon(_set_after, until, shutdown)
        urls = await nursery.start(run)
        gc.collect()
        gc.freeze()  # what lives as long as the process is not worth looking at again: full collections stop the loop
        log.info("gateway.serving", urls=urls)
        if on_ready is not None:
            on_ready(urls)
        await shutdown.wait()
        log.info("gateway.draining", seconds=settings.drain_s)


async def _set_after(wait: Callable[[], Awaitable[None]], event: trio.Event) -> None:
    await wait()
    event.set()


@contextmanager
def _open_access_log(settings: Settings, worker: int | None) -> Iterator[AccessLog | None]:
    """A file gets each line at once, so that `tail -f` shows it. Raises OSError when it cannot be opened."""
    process = process_names(worker)
    if not settings.access_log:
        yield None
    elif not settings.access_log_file:
        yield AccessLog(sys.stdout, process)
    else:
        with open(settings.access_log_file, "a", buffering=1, encoding="utf-8") as file:
            yield AccessLog(file, process)


def _exchange_rules(settings: Settings) -> ExchangeRules:
    return ExchangeRules(
        body_cap=settings.body_cap_bytes,
        dashboard_origin=settings.dashboard_origin or None,
        proxies=read_networks(settings.trusted_proxies),
    )


def _doors(settings: Settings, db: Database, sessions: Sessions, models: Models) -> Doors:
    return Doors(
        db=db,
        sessions=sessions,
        passwords=Passwords(),
        throttle=Throttle(db, settings.secret_key),
        plans=lambda: models.catalog.plans,
        open_registration=settings.registration == "open",
    )


def _server_settings(settings: Settings, sockets: tuple[socket.socket, ...]) -> ServerSettings:
    return ServerSettings(
        sockets=sockets,
        host=settings.host,
        port=settings.port,
        certfile=settings.certfile or None,
        keyfile=settings.keyfile or None,
        write_deadline_s=settings.write_deadline_s,
        drain_grace_s=settings.drain_grace_s,
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
