"""Hypercorn's HTTP/1.1 where it needs a change: it sees a hang-up behind a request, and says when it drains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import trio
from hypercorn.protocol.events import Event, Response
from hypercorn.protocol.h11 import H11Protocol

from app.server.wire import Wire


class HungUp(Exception):
    """The peer left while its next request waited for the present one."""


class Pause:
    """h11's "stop reading until this request is answered", put in place of its event, except that we read on.

    One byte after a request (a pipelined one, or a stray line end) pauses h11, and a hang-up behind that byte would go
    unseen until the next write. Waiting here reads ahead instead, in the task that would have waited anyway.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._over = True

    async def clear(self) -> None:
        self._over = False

    async def set(self) -> None:
        """Also called at the end of every request that paused nothing."""
        if not self._over:
            self._over = True
            self._wire.wake()

    def is_set(self) -> bool:
        return self._over

    async def wait(self) -> None:
        """Raises HungUp when the peer is gone before the pause is over."""
        while not self._over:
            if not await self._wire.read_ahead():
                raise HungUp


class SafeH11(H11Protocol):
    """HTTP/1.1 whose answers carry `Connection: close` while the server drains: the next request goes elsewhere.

    Only so is no request lost: one that meets the closing of an idle connection has no answer and no reason.
    """

    def __init__(self, draining: trio.Event, wire: Wire, *wiring: Any) -> None:
        super().__init__(*wiring)
        self.can_read = Pause(wire)
        self._draining = draining

    async def stream_send(self, event: Event) -> None:
        if self._draining.is_set() and isinstance(event, Response):
            event = replace(event, headers=[*event.headers, (b"connection", b"close")])
        await super().stream_send(event)
