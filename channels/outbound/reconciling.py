"""Finds out what came of messages whose outcome nobody knows: the process died, or the provider did not answer.

A status may tell, and where the provider can be asked it is. What nothing tells of in a minute has failed: to send it
again might be to send it twice. A bot may be set to the contrary (channels.md section 7.3).
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

import msgspec
import structlog
import trio

from app.core.bot_config import read_config
from app.core.errors import Problem, error_places
from app.core.identity import Clock, now_us
from app.providers.whatsapp.line import Letter, Recipient, Sent, Undelivered
from app.storage import bots, contacts, conversations, numbers, send_moves, send_queue, sends
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.numbers import StoredNumber
from app.storage.send_moves import StoredSend
from app.storage.sends import Told
from channels.conversations import contents
from channels.outbound.outcomes import accept, doubt, settle_unknown
from channels.outbound.senders import Lines

log = structlog.get_logger(__name__)
LOOK_EVERY_S: Final = 1.0
LOOKED_AT: Final = 100
#: For one question to a provider.
FIND_S: Final = 10.0
#: Whoever asks has it for so long.
ASKING_US: Final = 30_000_000
#: How long a provider that does not answer is asked again.
ASK_FOR_US: Final = 600_000_000
#: The provider's clock may be behind ours.
EARLIER_US: Final = 60_000_000
#: So many questions at the same time.
AT_ONCE: Final = 16
LOST: Final = "nobody recorded what came of it"


class Lost(NamedTuple):
    """A message whose minute is over, leased to us, with what it takes to ask after it."""

    send: StoredSend
    number: StoredNumber
    recipient: Recipient
    resend: bool


class Reconciler:
    """Any process does it; each row is one process's at a time, by its lease."""

    def __init__(self, db: Database, lines: Lines, *, clock: Clock = now_us) -> None:
        self._db = db
        self._lines = lines
        self._clock = clock

    async def run(self) -> None:
        """Look again and again."""
        while True:
            try:
                found = await self.look()
            except Problem as problem:
                log.warning("senders.not_reconciled", error=str(problem))
                found = 0
            await trio.sleep(0.05 if found == LOOKED_AT else LOOK_EVERY_S)

    async def look(self) -> int:
        """Deal with what is overdue now; how many."""
        at = self._clock()
        overdue = await self._db.read(EVERY_TENANT, lambda db: send_queue.overdue(db, at, LOOKED_AT))
        limit = trio.CapacityLimiter(AT_ONCE)
        async with trio.open_nursery() as nursery:
            for row in overdue:
                nursery.start_soon(self._deal, limit, row.tenant_id, row.id)
        return len(overdue)

    async def _deal(self, limit: trio.CapacityLimiter, tenant_id: str, send_id: str) -> None:
        async with limit:
            try:
                claim = partial(_claim, tenant_id=tenant_id, send_id=send_id, at_us=self._clock())
                lost = await self._db.write(tenant_id, claim)
                if lost is None:
                    return
                found = await self._ask(tenant_id, lost)
                settle = partial(_settle, tenant_id=tenant_id, lost=lost, found=found, at_us=self._clock())
                await self._db.write(tenant_id, settle)
            except Problem as problem:
                log.warning("senders.not_reconciled", send=send_id, error=str(problem))
            except Exception as crash:  # noqa: BLE001 - a bug: the others are dealt with all the same
                log.error("senders.reconciling_crashed", send=send_id, errors=error_places(crash))

    async def _ask(self, tenant_id: str, lost: Lost) -> Sent | Undelivered | Exception | None:
        """The provider, if it can be asked: what became of it there, None for nothing, or why it could not be asked."""
        send = lost.send
        try:
            line = self._lines.of(tenant_id, lost.number)
            letter = Letter(lost.recipient, contents.read(send.kind, send.body), send.id)
            with trio.move_on_after(FIND_S):
                return await line.find(letter, (send.first_us - EARLIER_US) / 1e6)
            return TimeoutError()
        except (Problem, ValueError):
            return None
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the service
            log.warning("senders.find_failed", send=send.id, errors=error_places(error))
            return error


def _claim(db: Transaction, tenant_id: str, send_id: str, at_us: int) -> Lost | None:
    """Ours to find out, or None: its minute begins only now, it has gone on, or somebody else asks."""
    send = send_moves.find(db, tenant_id, send_id)
    if send is None or send.state not in ("sending", "unknown") or send.lease_us > at_us:
        return None
    if send.state == "sending":
        doubt(db, tenant_id, send, LOST, at_us)
        return None
    conversation = conversations.find_conversation(db, tenant_id, send.conversation_id)
    number = numbers.find_number(db, tenant_id, send.number_id)
    contact = None if conversation is None else contacts.find_contact(db, tenant_id, conversation.contact_id)
    if conversation is None or number is None or contact is None:
        settle_unknown(db, tenant_id, send, at_us, resend=False)
        return None
    bot = bots.find_bot(db, tenant_id, conversation.bot_id)
    config = read_config({} if bot is None else msgspec.json.decode(bot.config))
    send_queue.lease(db, tenant_id, send.id, at_us + ASKING_US)
    recipient = Recipient(contact.phone, contact.user_id)
    return Lost(send._replace(lease_us=at_us + ASKING_US), number, recipient, config.on_unknown == "resend")


def _settle(
    db: Transaction, tenant_id: str, lost: Lost, found: Sent | Undelivered | Exception | None, at_us: int
) -> None:
    send = send_moves.find(db, tenant_id, lost.send.id)
    if send is None or send.state != "unknown" or send.lease_us != lost.send.lease_us:
        return
    if isinstance(found, Sent | Undelivered):
        if send_moves.find_provided(db, tenant_id, found.provider_id) is not None:
            settle_unknown(db, tenant_id, send, at_us, resend=False)  # another of the same words: nothing is certain
        elif isinstance(found, Sent):
            accept(db, tenant_id, send, found.provider_id, at_us)
        else:
            told = Told(found.provider_id, send.id, "failed", found.code, found.message, at_us)
            sends.fail(db, tenant_id, send, told, at_us)
        return
    if isinstance(found, Exception) and at_us < send.updated_us + ASK_FOR_US:
        return  # the lease ends, and somebody asks again
    settle_unknown(db, tenant_id, send, at_us, resend=lost.resend)
