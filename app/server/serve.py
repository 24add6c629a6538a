"""The life of the server: lifespan, listen, accept, drain, end."""

from __future__ import annotations

import errno
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, LifespanState
from hypercorn.utils import repr_socket_addr

from app.server.connection import Connection, Service
from app.server.settings import HypercornConfig, ServerSettings

ACCEPT_PAUSE_S: Final = 0.1
#: After an accept on a shared socket: the process that is awake would take a whole burst before the others wake up.
SIBLINGS_TURN_S: Final = 0.001
OUR_FAULT: Final = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK})
Wait = Callable[[], Awaitable[None]]
log = structlog.get_logger(__name__)


async def serve(
    app: ASGIFramework,
    settings: ServerSettings,
    *,
    shutdown: trio.Event | Wait,
    hurry: trio.Event | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until `shutdown`; `started` gives the base URLs.

    Then for `drain_grace_s` all is served as before, but each answer asks its client to take the next request
    elsewhere. Then no connection is accepted, idle ones close, running requests have `drain_s` to end, the rest is
    cancelled, and when their clean-up is over this returns. `hurry` ends both times at once; cancelling this skips
    straight to that last part.
    Raises OSError when the address is taken, Hypercorn's LifespanFailureError when the application cannot start.
    """
    config = HypercornConfig(settings)
    state: LifespanState = {}
    wrapped = ASGIWrapper(app)
    service = Service(wrapped, config, WorkerContext(None), state, settings, config.create_ssl_context())
    lifespan = Lifespan(wrapped, config, state)
    wait = shutdown.wait if isinstance(shutdown, trio.Event) else shutdown
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(lifespan.handle_lifespan)
            await lifespan.wait_for_startup()
            await _run_connections(service, wait, trio.Event() if hurry is None else hurry, task_status)
            await lifespan.wait_for_shutdown()
            nursery.cancel_scope.cancel()
    except* Exception as group:  # noqa: BLE001 - raised again below, bare
        failure = _bare(group)
    if failure is not None:
        raise failure


async def watch_signals(
    shutdown: trio.Event, hurry: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """The first SIGINT or SIGTERM sets `shutdown`, every later one `hurry`. Runs until cancelled."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            (hurry if shutdown.is_set() else shutdown).set()


async def _run_connections(
    service: Service, shutdown: Wait, hurry: trio.Event, task_status: trio.TaskStatus[list[str]]
) -> None:
    listeners = service.settings.listen()
    slots = trio.Semaphore(max(service.settings.max_connections, len(listeners)))
    async with trio.open_nursery() as outer:
        async with trio.open_nursery() as connections:
            outer.start_soon(_cut_at_end, service, hurry, connections.cancel_scope)
            async with trio.open_nursery() as accepting:
                for each in listeners:
                    accepting.start_soon(_accept, each, service, slots, connections)
                task_status.started([_url(each, service) for each in listeners])
                await shutdown()
                await _give_notice(service, hurry, connections)
                accepting.cancel_scope.cancel()
            await service.context.terminated.set()
            for connection in service.open:
                connections.start_soon(connection.rest)
        outer.cancel_scope.cancel()


async def _give_notice(service: Service, hurry: trio.Event, connections: trio.Nursery) -> None:
    """From here on clients are asked to go elsewhere; those that have a way to (a balancer) get `drain_grace_s`."""
    service.draining.set()
    for connection in service.open:
        connections.start_soon(connection.end_if_idle)
    with trio.move_on_after(service.settings.drain_grace_s):
        await hurry.wait()


async def _accept(listener: socket.socket, service: Service, slots: trio.Semaphore, connections: trio.Nursery) -> None:
    """Start a task for every client; when there is no slot the next client waits in the backlog."""

    async def run(client: socket.socket) -> None:
        try:
            await Connection(service, client).run()
        finally:
            slots.release()

    with listener:
        while True:
            await slots.acquire()
            connections.start_soon(run, await _next_client(listener))
            if service.settings.sockets:
                await trio.sleep(SIBLINGS_TURN_S)


async def _next_client(listener: socket.socket) -> socket.socket:
    while True:
        await trio.lowlevel.wait_readable(listener)
        try:
            return listener.accept()[0]
        except (BlockingIOError, ConnectionAbortedError):  # another process took it, or it left
            continue
        except OSError as error:  # most often: no file descriptor is left
            if error.errno in OUR_FAULT:
                raise
            log.warning("accept_paused", reason=errno.errorcode.get(error.errno or 0))
            await trio.sleep(ACCEPT_PAUSE_S)


async def _cut_at_end(service: Service, hurry: trio.Event, connections: trio.CancelScope) -> None:
    """Cancel the connections when the drain is over, or when this is cancelled: a blocked write is shielded."""
    try:
        await service.context.terminated.wait()
        with trio.move_on_after(service.settings.drain_s):
            await hurry.wait()
    finally:
        connections.cancel()
        for connection in service.open:
            connection.cut()


def _url(listener: socket.socket, service: Service) -> str:
    address = repr_socket_addr(listener.family, listener.getsockname())
    return f"{'https' if service.tls else 'http'}://{address}"


def _bare(error: BaseException) -> BaseException:
    """The one error in a group; the group itself if there are several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
