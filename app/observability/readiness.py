"""Whether this process should be sent requests: what `GET /readyz` answers.

Alive is another question: a process that is not ready is left alone until it is, one that is not alive is restarted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
import trio

from app.core.errors import error_places
from app.observability.loop_lag import LoopLag

log = structlog.get_logger(__name__)
#: A probe within this time of another is given the same answer about the database.
FRESH_S: Final = 1.0
#: The longest a probe waits for the database.
ANSWER_S: Final = 2.0
#: How long the stored catalog may differ from the loaded one: the reloader looks every two seconds.
STALE_S: Final = 10.0
#: Beyond this a process stands still. Mere load must not take all replicas out at once.
LAG_S: Final = 1.0
DIGEST_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Look:
    """What the database said, at a time of Trio's clock. `digest` None: it did not answer."""

    at: float
    digest: str | None = None


@dataclass(slots=True, kw_only=True)
class Readiness:
    """`run` must be running. `stored_digest` reads the catalog's digest from the database and may raise or hang."""

    lag: LoopLag
    stored_digest: Callable[[], Awaitable[str | None]]
    loaded_digest: Callable[[], str | None]
    draining: Callable[[], bool]
    _look: Look = field(default=Look(float("-inf")), init=False)
    _differs_since: float | None = field(default=None, init=False)
    _wanted: trio.Event = field(default_factory=trio.Event, init=False)
    _looked: trio.Event = field(default_factory=trio.Event, init=False)

    async def run(self) -> None:
        """Ask the database whenever a probe wants to know: one question at a time, however many probes there are."""
        while True:
            await self._wanted.wait()
            digest = await self._ask()
            self._look = Look(trio.current_time(), digest)
            self._wanted = trio.Event()
            self._looked.set()
            self._looked = trio.Event()

    async def check(self) -> tuple[bool, dict[str, Any]]:
        """Whether it is ready, and the body that says why not. Never raises; answers within two seconds."""
        if trio.current_time() - self._look.at > FRESH_S:
            looked = self._looked
            self._wanted.set()
            with trio.move_on_after(ANSWER_S):
                await looked.wait()
        checks: dict[str, dict[str, Any]] = {
            "database": {"status": self._database()},
            "catalog": {"status": self._catalog(), "digest": (self.loaded_digest() or "")[:DIGEST_SHOWN]},
            "loop": {"status": "ok" if self.lag.p99_s() <= LAG_S else "slow", "p99_ms": round(self.lag.p99_s() * 1e3)},
            "drain": {"status": "draining" if self.draining() else "ok"},
        }
        ready = all(check["status"] == "ok" for check in checks.values())
        return ready, {"status": "ready" if ready else "not_ready", "checks": checks}

    def _database(self) -> str:
        if self._look.digest is not None and trio.current_time() - self._look.at <= FRESH_S + ANSWER_S:
            return "ok"
        return "unavailable"

    def _catalog(self) -> str:
        """`stale` when another catalog than ours has been stored for a while: replicas would disagree on prices."""
        stored = self._look.digest
        if stored is None or stored == self.loaded_digest():
            self._differs_since = None
            return "ok"
        if self._differs_since is None:
            self._differs_since = self._look.at
        return "stale" if self._look.at - self._differs_since > STALE_S else "ok"

    async def _ask(self) -> str | None:
        try:
            return await self.stored_digest()
        except Exception as error:  # noqa: BLE001 - whatever it is, a probe must not end the gateway
            log.warning("readiness.database_unavailable", errors=error_places(error))
            return None
