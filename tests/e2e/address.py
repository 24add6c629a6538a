"""One address in front of gateways that come and go: whoever connects is passed on to one that lives."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from tests.e2e.topology import Front

_PIECE: Final = 64 * 1024


async def run_address(
    port: int, gateways: Sequence[Front], chance: random.Random, *, task_status: trio.TaskStatus[object]
) -> None:
    """Serve on this port until cancelled. Without any gateway a connection is closed at once."""
    await trio.serve_tcp(partial(_serve, gateways, chance), port, host="127.0.0.1", task_status=task_status)


async def _serve(gateways: Sequence[Front], chance: random.Random, client: trio.SocketStream) -> None:
    gateway = await _connected(chance.sample(gateways, len(gateways)))
    if gateway is None:
        return
    async with gateway, trio.open_nursery() as nursery:
        nursery.start_soon(_pass_on, client, gateway, nursery.cancel_scope)
        nursery.start_soon(_pass_on, gateway, client, nursery.cancel_scope)


async def _connected(gateways: Sequence[Front]) -> trio.SocketStream | None:
    for front in gateways:
        if front.gateway is not None:
            try:
                return await trio.open_tcp_stream(front.settings.host, front.settings.port)
            except OSError:
                continue
    return None


async def _pass_on(source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
    """Until either side is gone; then both are."""
    try:
        while piece := await source.receive_some(_PIECE):
            await sink.send_all(piece)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()
