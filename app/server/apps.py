"""What runs the application: one task a request, and the inbox it receives from."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio.task_group import TaskGroup
from hypercorn.typing import AppWrapper, ASGIReceiveCallable, ASGIReceiveEvent, ASGISendEvent, Scope

from app.core.errors import error_places

#: ASGI extension: `scope["extensions"][WHEN_LEFT](call)`; `call` runs when the client leaves or has its whole answer.
WHEN_LEFT: Final = "callmissed.when_left"
INBOX_SIZE: Final = 10
#: What an upload may be ahead of its application, give or take one event.
INBOX_BYTES: Final = 128 * 1024
BURST_SIZE: Final = 64 * 1024
EVENT_COST: Final = 4 * 1024
DISCONNECTS: Final = frozenset({"http.disconnect", "websocket.disconnect"})
Send = Callable[[ASGISendEvent | None], Awaitable[None]]
log = structlog.get_logger(__name__)


class Inbox:
    """Events for one request: at most ten wait, of 128 KiB, then the connection does; a disconnect always fits.

    A memory channel would cost two task switches an event, and one that is full would let an application which answers
    early and reads nothing block itself: the answer ends with a disconnect put into its own full queue.
    """

    def __init__(self) -> None:
        self._events: deque[ASGIReceiveEvent] = deque()
        self._bytes = 0
        self._arrived = trio.lowlevel.ParkingLot()
        self._taken = trio.lowlevel.ParkingLot()
        self._left = False
        self._when_left: Callable[[], None] | None = None

    def when_left(self, call: Callable[[], None]) -> None:
        """The extension: saves the application a task that waits for the event. Calls now if it has come."""
        self._when_left = call
        if self._left:
            call()

    async def put(self, event: ASGIReceiveEvent) -> None:
        if event["type"] in DISCONNECTS:
            self._left = True
            if self._when_left is not None:
                self._when_left()
            if len(self._events) >= INBOX_SIZE:
                self._events.clear()
                self._bytes = 0
                self._taken.unpark_all()
        else:
            while len(self._events) >= INBOX_SIZE or self._bytes >= INBOX_BYTES:
                await self._taken.park()
            self._bytes += _size(event)
        self._events.append(event)
        self._arrived.unpark()

    async def receive(self) -> ASGIReceiveEvent:
        while not self._events:
            await self._arrived.park()
        event = self._events.popleft()
        self._bytes -= _size(event)
        self._taken.unpark()
        return event


def _size(event: ASGIReceiveEvent) -> int:
    return len(event["body"]) if event["type"] == "http.request" else 0


def in_turns(send: Send) -> Send:
    """`send` as an application gets it: a checkpoint every 64 KiB or 16 events, whatever becomes of them.

    Nothing below is one while the socket takes all, or drops it: a producer without end would stop the whole server.
    """
    burst = 0

    async def send_in_turn(event: ASGISendEvent | None) -> None:
        nonlocal burst
        await send(event)
        body = event.get("body") if event else None
        burst += max(len(body) if isinstance(body, bytes) else 0, EVENT_COST)
        if burst >= BURST_SIZE:
            burst = 0
            await trio.lowlevel.checkpoint()

    return send_in_turn


async def run_app(app: AppWrapper, scope: Scope, receive: ASGIReceiveCallable, send: Send) -> None:
    """Run one request to its end. What the application raises ends this request only."""
    try:
        await app(scope, receive, in_turns(send), trio.to_thread.run_sync, trio.from_thread.run)
    except* Exception as group:  # noqa: BLE001
        log.error("app_failed", errors=error_places(group))
    finally:
        await send(None)


class AppTasks(TaskGroup):
    """The tasks of one connection."""

    async def spawn_app(
        self, app: AppWrapper, config: Config, scope: Scope, send: Send
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        inbox = Inbox()
        if scope["type"] == "http":
            scope["extensions"][WHEN_LEFT] = inbox.when_left  # type: ignore[assignment]  # typed as dicts only
        self.spawn(run_app, app, scope, inbox.receive, send)
        return inbox.put
