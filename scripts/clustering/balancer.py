"""A small load balancer on layer 4: bytes pass untouched, so TLS, HTTP/2 and server-sent events work as without it.

It is for trying and for tests. It opens nothing: who talks to whom is decided once, when a client connects.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

import trio

from scripts.clustering.backends import GONE, Backend, Backends, run_probes

#: What one direction holds at most: the next bytes are read when these are handed over.
PIECE: Final = 64 * 1024
#: A client that does not notice the end of its connection keeps it open no longer than this.
LINGER_S: Final = 10.0
REFUSAL_S: Final = 2.0
BODY: Final = b'{"error":{"message":"No replica answers. Try again.","type":"server_error","code":"no_replica"}}'
REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
log = logging.getLogger(__name__)


async def run_balancer(
    backends: Backends,
    *,
    host: str,
    port: int,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; `started` gives the port. Cancelling closes every connection.

    A backend that does not accept is marked down at once and the next one is tried: no client sees a refusal while
    another backend serves. Raises OSError when the address is taken.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_probes, backends)
        listeners = await trio.open_tcp_listeners(port, host=host)
        serving = partial(trio.serve_listeners, partial(_serve, backends), listeners)
        await nursery.start(serving)
        task_status.started(listeners[0].socket.getsockname()[1])


async def _serve(backends: Backends, client: trio.SocketStream) -> None:
    async with client:
        try:
            found = await _connect(backends)
            if found is None:
                await _refuse(client)
                return
            backend, server = found
            try:
                await _relay(client, server)
            finally:
                backend.connections -= 1
        except* GONE:
            pass  # somebody left; `_relay` has told the other side


async def _connect(backends: Backends) -> tuple[Backend, trio.SocketStream] | None:
    """The connection, counted already: several clients that come at once must not all choose the same backend."""
    tried: list[Backend] = []
    while (backend := backends.choose(tried)) is not None:
        backend.connections += 1
        is_connected = False
        try:
            server = await backend.connect()
            is_connected = True
        except OSError as error:
            log.warning("%s is down: %s", backend.url, error)
            backend.state = "down"
            tried.append(backend)
        else:
            return backend, server
        finally:
            if not is_connected:
                backend.connections -= 1
    return None


async def _relay(client: trio.SocketStream, server: trio.SocketStream) -> None:
    """Both directions until both have ended. Ending one is passed on; breaking one breaks the other."""
    async with server, trio.open_nursery() as nursery:

        async def answer() -> None:
            await _pass_on(server, client)
            nursery.cancel_scope.deadline = trio.current_time() + LINGER_S

        nursery.start_soon(answer)
        nursery.start_soon(_pass_on, client, server)


async def _pass_on(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    while data := await source.receive_some(PIECE):
        await sink.send_all(data)
    await sink.send_eof()


async def _refuse(client: trio.SocketStream) -> None:
    """Say 503. What the client still sends is read and dropped for a while, or a reset could destroy the answer."""
    with trio.move_on_after(REFUSAL_S):
        await client.send_all(REFUSAL)
        await client.send_eof()
        while await client.receive_some(PIECE):
            pass
