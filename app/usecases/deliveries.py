"""Sends what is in the outbox: any process takes up what is due, under a lease, and writes down what came of it.

At least once: a delivery goes out twice when its process dies, or loses the database for the rest of the lease, between
the receiver's answer and the commit. It has the same id both times, so that receivers can tell.
"""

from __future__ import annotations

from typing import Final, Protocol

import structlog
import trio

from app.core.delivery_room import Room
from app.core.errors import Problem, error_places
from app.core.identity import Clock, now_us
from app.core.public_hosts import read_target
from app.core.sealing import Sealer
from app.core.webhooks import pause_us, signature
from app.providers.receivers import Answer, Unreachable
from app.providers.wire import Headers
from app.storage import outbox
from app.storage.database import EVERY_TENANT, Database
from app.storage.outbox import Attempt, Queue, Taken
from app.usecases.webhooks import secret_context

log = structlog.get_logger(__name__)
LOOK_EVERY_S: Final = 0.25
#: How many webhooks with something to send a look takes in; the next look goes on behind them.
LOOKED_AT: Final = 100
#: One task sends so many before it makes room for another webhook.
BURST: Final = 16
#: For the name, the connection, TLS, the question and the status together (spec.md section 16).
ATTEMPT_S: Final = 10.0
#: Longer than an attempt by the time that a database may be away before the outcome is lost and it is sent again.
LEASE_US: Final = 40_000_000
RETRY_S: Final = 1.0
#: How long attempts under way may go on when the server has to stop.
DRAIN_S: Final = ATTEMPT_S + 1.0
REPLY_KEPT: Final = 1024
FIRST_REFUSAL: Final = 300
LATE: Final = f"no answer within {ATTEMPT_S:g} s"
SEALED: Final = "the webhook's secret cannot be read any more: rotate it"
OURS: Final = "an error of ours"


class Way(Protocol):
    """The way out to receivers."""

    async def post(self, url: str, headers: Headers, body: bytes) -> Answer: ...


class Deliveries:
    """The service of one process. What another one dropped comes up again with the end of its lease."""

    def __init__(self, db: Database, sealer: Sealer, way: Way, *, clock: Clock = now_us) -> None:
        self._db = db
        self._sealer = sealer
        self._way = way
        self._clock = clock
        self._room = Room()
        self._after = ""
        self._stopping = False
        #: Set when `run` is over.
        self.ended = trio.Event()

    async def run(self, shutdown: trio.Event, hurry: trio.Event) -> None:
        """Send what is due until `shutdown`. Attempts under way may then end, bounded, or until `hurry`."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_after, hurry, nursery.cancel_scope)
                async with trio.open_nursery() as attempts:
                    while not shutdown.is_set():
                        pause_s = await self._look(attempts)
                        with trio.move_on_after(pause_s):
                            await shutdown.wait()
                    self._stopping = True
                    attempts.cancel_scope.deadline = trio.current_time() + DRAIN_S
                nursery.cancel_scope.cancel()
        finally:
            self.ended.set()

    async def _look(self, attempts: trio.Nursery) -> float:
        """Start a task for each webhook with something due, as far as there is room; how long to pause then."""
        after = self._after
        try:
            found = await self._db.read(EVERY_TENANT, lambda db: outbox.queues(db, after, LOOKED_AT))
        except Problem as problem:
            log.warning("webhooks.not_looked", error=str(problem))
            return RETRY_S
        self._after = found[-1].webhook_id if len(found) == LOOKED_AT else ""
        at, now = self._clock(), trio.current_time()
        for queue in found:
            if queue.due_us <= at and self._room.enter(_host(queue.url), queue.tenant_id, now):
                attempts.start_soon(self._serve, queue)
        return LOOK_EVERY_S

    async def _serve(self, queue: Queue) -> None:
        """Send what is due to one webhook, one after the other, in a place of the room that is taken already."""
        host = _host(queue.url)
        try:
            for _ in range(BURST):
                taken = None if self._stopping else await self._take(queue)
                if taken is None:
                    return
                attempt = await self._attempt(queue.tenant_id, taken)
                spoke = attempt.status is not None
                self._room.heard(host, spoke=spoke, now=trio.current_time())
                await self._record(queue.tenant_id, taken, attempt)
                if not spoke:
                    return
        except Problem as problem:
            log.warning("webhooks.not_taken", tenant=queue.tenant_id, error=str(problem))
        finally:
            self._room.leave(host, queue.tenant_id)

    async def _take(self, queue: Queue) -> Taken | None:
        at = self._clock()
        tenant_id, webhook_id = queue.tenant_id, queue.webhook_id
        return await self._db.write(
            tenant_id, lambda db: outbox.take(db, tenant_id, webhook_id, at, at + LEASE_US), durable=False
        )

    async def _attempt(self, tenant_id: str, taken: Taken) -> Attempt:
        """Send it once. Never fails: what went wrong is in the attempt."""
        at, began = self._clock(), trio.current_time()
        body = taken.body.encode()
        answer: Answer | None = None
        error = LATE
        try:
            headers = self._headers(tenant_id, taken, body)
        except ValueError:
            return Attempt(at, 0, None, SEALED, "")
        try:
            with trio.move_on_after(ATTEMPT_S):
                answer = await self._way.post(taken.url, headers, body)
                error = "" if answer.status < FIRST_REFUSAL else f"the receiver answered {answer.status}"
        except Unreachable as unreachable:
            error = str(unreachable)
        except Exception as crash:  # noqa: BLE001 - a bug: it must neither end the service nor be met for ever
            log.error("webhooks.attempt_crashed", delivery=taken.id, errors=error_places(crash))
            error = OURS
        ms = round((trio.current_time() - began) * 1000)
        status, reply = (None, b"") if answer is None else (answer.status, answer.body)
        return Attempt(at, ms, status, _kept(error), _kept(reply.decode("utf-8", "replace")))

    def _headers(self, tenant_id: str, taken: Taken, body: bytes) -> Headers:
        context = secret_context(tenant_id, taken.webhook_id)

        def signed(sealed: str) -> bytes:
            return signature(self._sealer.open(sealed, context).decode(), body).encode()

        headers = [
            (b"Content-Type", b"application/json"),
            (b"User-Agent", b"CallMissed-Webhooks/1"),
            (b"X-CallMissed-Event", taken.event.encode()),
            (b"X-CallMissed-Delivery", taken.id.encode()),
            (b"X-CallMissed-Signature", signed(taken.secret)),
        ]
        if taken.old_secret:
            headers.append((b"X-CallMissed-Signature-Previous", signed(taken.old_secret)))
        return headers

    async def _record(self, tenant_id: str, taken: Taken, attempt: Attempt) -> None:
        """Write down what came of it, waiting for a database that is away until the lease is over."""
        delivered = attempt.status is not None and attempt.status < FIRST_REFUSAL
        pause = None if delivered else pause_us(taken.attempts + 1)
        due_us = None if pause is None else attempt.ended_us + pause
        while self._clock() < taken.lease_us:
            try:
                ours = await self._db.write(
                    tenant_id,
                    lambda db: outbox.finish(db, tenant_id, taken, attempt, delivered=delivered, due_us=due_us),
                )
            except Problem:
                await trio.sleep(RETRY_S)
                continue
            if ours and not delivered and due_us is None:
                log.warning("webhooks.gave_up", tenant=tenant_id, webhook=taken.webhook_id, delivery=taken.id)
            return
        log.error("webhooks.outcome_lost", tenant=tenant_id, delivery=taken.id, delivered=delivered)


async def _cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _host(url: str) -> str:
    """What attempts are counted by: the host as it is connected to. Whatever cannot be read is one host, too."""
    try:
        return read_target(url, private=True).host
    except Problem:
        return ""


def _kept(text: str) -> str:
    """As much as is kept; PostgreSQL's texts cannot hold a NUL."""
    return text[:REPLY_KEPT].replace("\0", "\ufffd")
