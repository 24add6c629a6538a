"""One replica: `python -m app serve` on a free port of loopback, a process that ends with whoever started it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import trio

from app.config import FIELDS, Settings
from scripts.clustering.backends import probe
from scripts.clustering.postgres import free_port
from scripts.launching.simulator import ROOT

START_S: Final = 60.0
LOOK_S: Final = 0.1
#: What a replica may take for its end besides the times that its settings give it.
END_S: Final = 10.0
#: Three probes of the balancer.
LEAST_GRACE_S: Final = 1.5
SETTINGS: Final = frozenset(name for name, *_ in FIELDS)


@dataclass(frozen=True, slots=True, eq=False)
class Replica:
    """A replica of its own number, which its successors bear too. Nobody but the balancer needs its address."""

    number: int
    url: str
    metrics_url: str
    process: trio.Process
    patience_s: float

    @property
    def pid(self) -> int:
        return self.process.pid

    async def wait_ready(self) -> bool:
        """Whether it serves; False when it has ended, or took longer than `START_S`."""
        with trio.move_on_after(START_S):
            while self.process.poll() is None:
                if await probe(self.url) == "ready":
                    return True
                await trio.sleep(LOOK_S)
        return False

    async def end(self) -> bool:
        """Ask it to end and wait; False when it did not within its time and was killed."""
        self.process.terminate()
        with trio.move_on_after(self.patience_s):
            await self.process.wait()
            return True
        self.process.kill()
        await self.process.wait()
        return False


@asynccontextmanager
async def open_replica(number: int, settings: Settings) -> AsyncIterator[Replica]:
    """A replica that may still be starting. It is killed when the block is left, if it still runs."""
    port, metrics_port = free_port(), free_port()
    own = replace(
        settings,
        host="127.0.0.1",
        port=port,
        drain_grace_s=max(settings.drain_grace_s, LEAST_GRACE_S),
    )
    around = {name: text for name, text in os.environ.items() if name not in SETTINGS}
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "scripts.launching.companion", "app", "serve"],
        stdin=subprocess.PIPE,
        process_group=0,  # Ctrl-C in a terminal is for the cluster, which drains its replicas
        cwd=ROOT,
        env={**around, **own.environment(), "METRICS_PORT": str(metrics_port)},
    )
    scheme = "https" if settings.certfile else "http"
    try:
        yield Replica(
            number,
            f"{scheme}://127.0.0.1:{port}",
            f"http://127.0.0.1:{metrics_port}/metrics",
            process,
            own.drain_grace_s + own.drain_s + END_S,
        )
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
