"""One turn: what a user wrote in one go, and the bot's one answer to it, charged once (channels.md sections 4 to 6).

A turn is made of legs: each question to the model and each function that was run is written down with its charge, so a
turn that runs again after a crash goes on behind the last of them. The last leg's charge, the answer, the end of the
messages that waited and what goes out are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import msgspec
import structlog
import trio

from app.core.bot_config import BotConfig
from app.core.errors import Problem
from app.core.identity import Clock
from app.observability.channels import PARTS, ChannelMetrics
from app.providers.whatsapp.line import Line
from app.storage import bot_turns, lanes
from app.storage.database import Database, Transaction
from channels.answering import closing
from channels.answering.closing import Begun, Over, Overtaken
from channels.answering.hearing import Heard
from channels.answering.lanes import Nudge
from channels.answering.replying import Replier
from channels.answering.voicing import Voice
from channels.bell import Bell
from channels.numbers.lines import Lines

log = structlog.get_logger(__name__)
#: A turn that has not been answered by then is answered with the bot's own words.
TURN_S: Final = 120.0
TYPING_EVERY_S: Final = 20.0
MOST_TYPING: Final = 6
#: So often a turn makes room for what the user has written meanwhile; then it is finished.
MOST_RESTARTS: Final = 2
#: A model that is busy, or a limit that many turns share, is asked again after so long at least.
PATIENCE_S: Final = 1.0
#: With the time when a model's providers are asked again, after they failed others.
RESTING: Final = "provider_error"
#: A user waits for that so long, and then reads the bot's own words.
REST_S: Final = 20.0
PASSING: Final = frozenset({"rate_limit_exceeded", "too_many_concurrent_requests", "credits_held"})
UNPAID: Final = frozenset({"insufficient_credits", "quota_exceeded", "budget_exceeded", "account_inactive"})


@dataclass(frozen=True, slots=True)
class TurnServices:
    """What turns work with. `sees`: whether some model of a bot sees images."""

    db: Database
    lines: Lines
    replier: Replier
    voice: Voice
    sees: Callable[[BotConfig], bool]
    #: Of the service that sends.
    senders: Bell
    clock: Clock
    metrics: ChannelMetrics = field(default_factory=ChannelMetrics)


class Turns:
    """Answers conversations, for `channels.answering.lanes`."""

    def __init__(self, services: TurnServices) -> None:
        self._services = services
        self._db = services.db

    async def run(self, tenant_id: str, conversation_id: str, owner: str, nudge: Nudge) -> int:
        """Answer until nothing waits; how many changes of the lane are dealt with. Raises Problem, Overtaken."""
        metrics = self._services.metrics
        metrics.running += 1
        try:
            return await self._run(tenant_id, conversation_id, owner, nudge)
        finally:
            metrics.running -= 1

    async def _run(self, tenant_id: str, conversation_id: str, owner: str, nudge: Nudge) -> int:
        services = self._services
        await services.voice.finish(tenant_id, conversation_id)
        for restarts in range(MOST_RESTARTS + 1):
            at = services.clock()
            begin = partial(_begin, tenant_id, conversation_id, owner, at, services.sees)
            begun = await self._db.write(tenant_id, begin)
            services.senders.ring()
            if isinstance(begun, Over):
                await self._tell(tenant_id, begun.turn_id)
                return begun.seen
            ended, more = True, False
            try:
                await _Run(services, begun, nudge, may_restart=restarts < MOST_RESTARTS).answer()
            except Overtaken as overtaken:
                more = overtaken.why == closing.MORE
                ended = await self._give_up(begun, overtaken)
            services.senders.ring()
            if ended:
                await self._tell(tenant_id, begun.turn_id)
            if more:
                await self._wait_for_more(begun)
                continue
            await services.voice.finish(tenant_id, conversation_id)
            return begun.seen
        raise AssertionError("the last run makes no room")

    async def _give_up(self, begun: Begun, overtaken: Overtaken) -> bool:
        give_up = partial(closing.give_up, begun=begun, overtaken=overtaken, now_us=self._services.clock())
        return await self._db.write(begun.tenant_id, give_up, durable=False)

    async def _tell(self, tenant_id: str, turn_id: str) -> None:
        """Count a turn that this process has ended, as it is written down."""
        if not turn_id:
            return
        try:
            turn = await self._db.read(tenant_id, lambda db: bot_turns.find_turn(db, tenant_id, turn_id))
        except Problem:  # a figure is lost, an answer must not be
            return
        if turn is not None and turn.ended_us is not None:
            self._services.metrics.turn_ended(turn.state, turn.reason, parts_of(turn.facts))

    async def _wait_for_more(self, begun: Begun) -> None:
        """Until the user has been silent for as long as a turn waits."""
        tenant_id, conversation_id = begun.tenant_id, begun.place.conversation_id
        while True:
            lane = await self._db.read(tenant_id, lambda db: lanes.find(db, tenant_id, conversation_id))
            wait_us = 0 if lane is None or lane.due_us is None else lane.due_us - self._services.clock()
            if wait_us <= 0:
                return
            await trio.sleep(wait_us / 1e6)


class _Run:
    """One attempt at a turn, which a person, another process or the user may put an end to."""

    def __init__(self, services: TurnServices, begun: Begun, nudge: Nudge, *, may_restart: bool) -> None:
        self._services = services
        self._begun = begun
        self._nudge = nudge
        self._may_restart = may_restart
        self._heard: list[Heard] | None = None
        self._overtaken: Overtaken | None = None

    async def answer(self) -> None:
        """Answer, or tell the user that no answer can be had. Raises Overtaken; Problem without a database."""
        try:
            line = self._services.lines.of(self._begun.tenant_id, self._begun.situation.number)
        except Problem as problem:
            log.warning("turns.no_line", turn=self._begun.turn_id, reason=problem.message)
            await self._fail("number_error")
            return
        failure: Problem | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope)
            nursery.start_soon(_show_typing, line, self._begun)
            try:
                await self._reply(line)
            except Problem as problem:
                failure = problem
            nursery.cancel_scope.cancel()
        failure = failure or self._overtaken
        if failure is not None:
            raise failure

    async def _watch(self, scope: trio.CancelScope) -> None:
        """Look whenever something has changed whether the turn is still to be answered."""
        while True:
            if self._nudge.asks(self._begun.seen):
                check = partial(closing.check_ours, begun=self._begun, may_restart=self._may_restart)
                try:
                    await self._services.db.read(self._begun.tenant_id, check)
                except Overtaken as reason:
                    self._overtaken = reason
                    scope.cancel()
                    return
                except Problem:
                    log.info("turns.not_checked", turn=self._begun.turn_id)
            await self._nudge.wait()

    async def _reply(self, line: Line) -> None:
        reason = "late"
        with trio.move_on_after(TURN_S):
            async with self._services.replier.room(self._begun):
                reason = await self._persist(line)
        if reason:
            await self._fail(reason)

    async def _persist(self, line: Line) -> str:
        """Try as often as it may help; why there is no answer, "" when there is one."""
        rest_until = trio.current_time() + REST_S
        while True:
            try:
                await self._try(line)
            except Overtaken:
                raise
            except Problem as problem:
                if problem.code == "storage_unavailable":
                    raise
                wait_s = max(PATIENCE_S, problem.retry_after_s or 0.0)
                rests = problem.code == RESTING and problem.retry_after_s is not None
                if problem.code in PASSING or (rests and trio.current_time() + wait_s < rest_until):
                    await trio.sleep(wait_s)
                    continue
                log.warning("turns.failed", turn=self._begun.turn_id, code=problem.code)
                return "no_credits" if problem.code in UNPAID else problem.code
            return ""

    async def _try(self, line: Line) -> None:
        replier = self._services.replier
        if self._heard is None:
            self._begun, self._heard = await replier.hear(self._begun, line)
        if self._heard:
            await replier.answer(self._begun, self._heard, may_restart=self._may_restart)

    async def _fail(self, reason: str) -> None:
        at = self._services.clock()
        await self._services.db.write(self._begun.tenant_id, partial(_fail, self._begun, reason, at, self._may_restart))


def parts_of(facts: str) -> Mapping[str, int]:
    """How long each part of a turn took, in milliseconds, of the facts that are kept of it."""
    told = msgspec.json.decode(facts, type=dict[str, Any])
    return {part: told[f"{part}_ms"] for part in PARTS if f"{part}_ms" in told}


def _begin(
    tenant_id: str, conversation_id: str, owner: str, at_us: int, sees: Callable[[BotConfig], bool], db: Transaction
) -> Begun | Over:
    return closing.begin(db, tenant_id, conversation_id, owner, at_us, sees)


def _fail(begun: Begun, reason: str, at_us: int, may_restart: bool, db: Transaction) -> None:
    closing.check_ours(db, begun, may_restart=may_restart)
    late = replace(begun, situation=closing.later(begun.situation, at_us))
    closing.fail(db, late, reason, at_us)


async def _show_typing(line: Line, begun: Begun) -> None:
    """While the turn runs the user sees that it was read and that an answer is being written."""
    newest = begun.inputs[-1].provider_id
    for _ in range(MOST_TYPING if newest else 0):
        await line.show_typing(newest)
        await trio.sleep(TYPING_EVERY_S)
