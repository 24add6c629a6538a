"""What a number sends next: everything that is to be true when it leaves is looked at in the transaction that marks it
as `sending` (channels.md sections 4.8, 7 and 8). A function of a transaction.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from app.core.sends import SHUT_EARLY_US, Reason
from app.storage import conversations, fallback_template, numbers, send_moves, send_queue
from app.storage.database import Transaction
from app.storage.numbers import StoredNumber
from app.storage.send_moves import Change
from app.storage.send_queue import Candidate, Pace
from channels.outbound.pacing import PAIR, SECOND_US, number_bucket

#: The next part goes out when the last one has arrived, or so long after it was accepted (channels.md section 7.6).
SETTLED_US: Final = 3 * SECOND_US
#: What waits at a number that the provider does not serve, and what a bot has said, is not worth sending after so long.
OLD_US: Final = 3600 * SECOND_US
#: A number that the provider does not serve, or with nothing but templates, is looked at again so often.
ERROR_US: Final = 5 * SECOND_US
#: What waits for a part before it is looked at again so often.
LOOK_US: Final = SECOND_US // 4
#: Who comes before whom.
ORDER: Final[tuple[tuple[str, ...], ...]] = (("reply", "notice"), ("human",), ("template",))
#: So many are looked at in one transaction.
LOOKED_AT: Final = 16
OF_BOTS: Final = frozenset({"reply", "notice"})


class Taken(NamedTuple):
    """One row that is ours to send until `lease_us`. `more`: others of the number may go as well."""

    id: str
    number: StoredNumber
    candidate: Candidate
    attempt: int
    at_us: int
    lease_us: int
    more: bool


class Idle(NamedTuple):
    """Nothing may go now. `pace`: at `until_us` something may, since only the number's pace holds it back."""

    until_us: int
    pace: bool = False


Verdict = Reason | Literal["go", "no_contact"] | int


def idle(db: Transaction, tenant_id: str, number_id: str, at_us: int) -> Idle | None:
    """When to look again where `take` would find nothing to do, neither to send nor to drop nor to put off; else None.

    Writes nothing: whoever only waits for the time to come costs the database no turn of its writer.
    """
    number = numbers.find_number(db, tenant_id, number_id)
    if number is None:
        return Idle(at_us + ERROR_US)
    if number.state == "error":
        old = send_queue.old_ones(db, tenant_id, number_id, at_us - OLD_US, 1)
        return None if old else Idle(at_us + ERROR_US)
    pace = send_queue.pace(db, tenant_id, number_id)
    bucket = number_bucket(number.per_second, pace.slow_us, pace.paused_us, at_us)
    free_us = max(pace.paused_us, bucket.free_us(pace.tat_us, at_us))
    if free_us > at_us:
        return Idle(free_us, pace=True)
    if any(_oldest(db, tenant_id, number_id, origins, at_us, 1) for origins in _served(pace, at_us)):
        return None
    return _nothing(pace, at_us)


def take(db: Transaction, tenant_id: str, number_id: str, at_us: int, lease_us: int) -> Taken | Idle:
    """Mark the next one that may leave this number. On the way what may not leave any more is dropped, and what may
    leave later is put off.
    """
    number = numbers.find_number(db, tenant_id, number_id)
    if number is None:
        return Idle(at_us + ERROR_US)
    if number.state == "error":
        for send_id in send_queue.old_ones(db, tenant_id, number_id, at_us - OLD_US, LOOKED_AT):
            _refuse(db, tenant_id, send_id, "number_error", at_us)
        return Idle(at_us + ERROR_US)
    pace = send_queue.pace(db, tenant_id, number_id)
    bucket = number_bucket(number.per_second, pace.slow_us, pace.paused_us, at_us)
    free_us = max(pace.paused_us, bucket.free_us(pace.tat_us, at_us))
    if free_us > at_us:
        return Idle(free_us, pace=True)
    kept_back = False
    for origins in _served(pace, at_us):
        found = _oldest(db, tenant_id, number_id, origins, at_us, LOOKED_AT)
        for place, candidate in enumerate(found, 1):
            verdict = judge(candidate, at_us)
            if verdict == "go":
                send_queue.set_pace(db, tenant_id, number_id, pace._replace(tat_us=bucket.taken(pace.tat_us, at_us)))
                more = place < len(found)
                return _mark(db, tenant_id, number, candidate, at_us, lease_us, more)
            kept_back = True
            if isinstance(verdict, int):
                send_queue.postpone(db, tenant_id, candidate.id, verdict)
            else:
                _refuse(db, tenant_id, candidate.id, verdict, at_us)
    if kept_back:
        return Idle(at_us, pace=True)
    return _nothing(pace, at_us)


def _served(pace: Pace, at_us: int) -> tuple[tuple[str, ...], ...]:
    """Whose messages may leave, in their order."""
    return (("template",),) if pace.spam_us > at_us else ORDER


def _nothing(pace: Pace, at_us: int) -> Idle:
    return Idle(at_us + (ERROR_US if pace.spam_us > at_us else LOOK_US))


def _oldest(
    db: Transaction, tenant_id: str, number_id: str, origins: tuple[str, ...], at_us: int, limit: int
) -> list[Candidate]:
    """What of these may go as far as its conversation is concerned, oldest first."""
    found = [
        candidate
        for origin in origins
        for candidate in send_queue.candidates(db, tenant_id, number_id, origin, at_us, at_us - SETTLED_US, limit)
    ]
    return sorted(found, key=lambda candidate: (candidate.due_us, candidate.seq))


def judge(candidate: Candidate, at_us: int) -> Verdict:
    """Whether it may leave now, when it may, or why it never will. Pure."""
    of_bot = candidate.origin in OF_BOTS
    if not candidate.contact_id:
        return "no_contact"
    if of_bot and not candidate.bot_active:
        return "bot_off"
    if of_bot and candidate.created_us < at_us - OLD_US:
        return "too_old"
    if candidate.kind != "template" and at_us >= candidate.window_us - SHUT_EARLY_US:
        return "window_closed"
    free_us = max(candidate.paused_us, PAIR.free_us(candidate.tat_us, at_us))
    return free_us if free_us > at_us else "go"


def _mark(
    db: Transaction,
    tenant_id: str,
    number: StoredNumber,
    candidate: Candidate,
    at_us: int,
    lease_us: int,
    more: bool,
) -> Taken:
    tat_us = PAIR.taken(candidate.tat_us, at_us)
    send_queue.set_pair(db, tenant_id, candidate.contact_id, tat_us, candidate.paused_us, candidate.backoff)
    attempt = send_queue.mark_sending(db, tenant_id, candidate.id, at_us, lease_us)
    return Taken(candidate.id, number, candidate, attempt, at_us, lease_us, more)


def _refuse(db: Transaction, tenant_id: str, send_id: str, reason: Reason | Literal["no_contact"], at_us: int) -> None:
    """It may never leave."""
    send = send_moves.find(db, tenant_id, send_id)
    if send is None:
        return
    if reason == "no_contact":
        send_moves.move(db, tenant_id, send, Change("failed", error="the contact is not there any more"), at_us)
        return
    send_moves.move(db, tenant_id, send, Change("dropped", reason=reason), at_us)
    if reason == "window_closed":
        fallback_template.tell_and_offer(db, tenant_id, send, at_us)
    elif reason in ("too_old", "number_error"):
        conversations.set_flag(db, tenant_id, send.conversation_id, reason)
