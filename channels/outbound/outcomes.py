"""What came of an attempt, written down: each of the four ways in which sending ends, and what becomes of the row, the
number and the contact then (channels.md sections 7 and 8, wire/whatsapp-meta.md section 13). Functions of a
transaction.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.core.sends import GONE, moved
from app.providers.whatsapp.line import MediaContent, NotSent, OutcomeUnknown, Refused, Sent, TextContent
from app.storage import (
    bot_turns,
    contacts,
    conversations,
    fallback_template,
    numbers,
    refusals,
    send_moves,
    send_queue,
)
from app.storage.database import Transaction
from app.storage.send_moves import Change, StoredSend
from app.storage.send_queue import Pace
from channels.conversations import contents
from channels.outbound.pacing import (
    SECOND_US,
    TRY_FOR_US,
    again_us,
    number_bucket,
    pair_pause_us,
    slower,
    unsent_us,
)
from channels.outbound.taking import Taken

Outcome = Sent | Refused | NotSent | OutcomeUnknown
#: How long a status may clear up what came of a request that was not answered.
UNKNOWN_US: Final = 60 * SECOND_US
#: Where somebody has said so, what has an unknown outcome is sent again, so often in all.
MOST_RESENDS: Final = 5
#: Pauses of a whole number, by what one of its messages was refused for.
_NUMBER_PAUSE_S: Final = {"maintenance": 60, "deleting": 300}
SPAM_US: Final = 3600 * SECOND_US
MOST_ERROR: Final = 500


def record(db: Transaction, tenant_id: str, taken: Taken, outcome: Outcome, at_us: int, jitter: float) -> bool:
    """Let the row, its message, its number and its contact be as the outcome says. False when the row has gone on
    without us, and only what is certain is kept: that the provider has it.
    """
    send = send_moves.find(db, tenant_id, taken.id)
    if send is None:
        return False
    if isinstance(outcome, Sent):
        accept(db, tenant_id, send, outcome.provider_id, at_us)
        send_queue.set_pair_backoff(db, tenant_id, taken.candidate.contact_id, 0)
        return True
    if send.attempts != taken.attempt or send.state not in ("sending", "unknown"):
        return False
    match outcome:
        case OutcomeUnknown():
            if send.state == "sending":
                doubt(db, tenant_id, send, str(outcome), at_us)
        case NotSent():
            pause_us = unsent_us(send.attempts, at_us - send.first_us, jitter)
            again(db, tenant_id, send, pause_us, str(outcome), at_us)
        case Refused():
            _refused(db, tenant_id, taken, send, outcome, at_us, jitter)
    return True


def named(outcome: Outcome) -> str:
    """What monitoring calls it."""
    match outcome:
        case Sent():
            return "accepted"
        case Refused():
            return f"refused_{outcome.kind}"
        case NotSent():
            return "not_sent"
        case OutcomeUnknown():
            return "unknown"


def answered_us(db: Transaction, tenant_id: str, send_id: str) -> int | None:
    """When the newest of the messages came that this answers; None for what is not the first part of an answer."""
    send = send_moves.find(db, tenant_id, send_id)
    turn = None if send is None or send.part > 1 else bot_turns.find_turn(db, tenant_id, send.turn_id)
    if turn is None or turn.ended_us is None:
        return None
    total_ms = msgspec.json.decode(turn.facts, type=dict[str, Any]).get("total_ms")
    return None if total_ms is None else turn.ended_us - int(total_ms) * 1000


def accept(db: Transaction, tenant_id: str, send: StoredSend, provider_id: str, at_us: int) -> None:
    """The provider has it, whatever we thought by then; a status may have told already."""
    if send.reason == "superseded":
        return  # a status told that its file could not be had, and its text goes out
    given_up = send.state == "failed" and send.reason == "unknown_outcome"
    state = moved("unknown" if given_up else send.state, "accepted")
    if state in GONE:
        send_moves.move(db, tenant_id, send, Change(state, provider_id=provider_id), at_us)
    elif not send.provider_id:  # a status told that it failed before the answer was stored
        send_moves.move(
            db, tenant_id, send, Change(state, reason=send.reason, error=send.error, provider_id=provider_id), at_us
        )


def doubt(db: Transaction, tenant_id: str, send: StoredSend, why: str, at_us: int) -> None:
    """It may have been delivered, or not: a status may tell."""
    send_moves.move(
        db,
        tenant_id,
        send,
        Change("unknown", reason=send.reason, error=why[:MOST_ERROR], until_us=at_us + UNKNOWN_US),
        at_us,
    )


def settle_unknown(db: Transaction, tenant_id: str, send: StoredSend, at_us: int, *, resend: bool) -> None:
    """Nothing has told what came of it: it has failed, or where its bot is set so it is sent again."""
    if resend and send.attempts < MOST_RESENDS and not send.reason:
        send_moves.move(db, tenant_id, send, Change("queued", error=send.error, until_us=at_us), at_us)
        return
    send_moves.move(db, tenant_id, send, Change("failed", reason="unknown_outcome", error=send.error), at_us)
    conversations.set_flag(db, tenant_id, send.conversation_id, "unknown_outcome")


def again(db: Transaction, tenant_id: str, send: StoredSend, pause_us: int | None, why: str, at_us: int) -> None:
    """Queue it again after the pause, or let it fail without one. One that was called off meanwhile is dropped."""
    why = why[:MOST_ERROR]
    if send.reason:
        send_moves.move(db, tenant_id, send, Change("dropped", reason=send.reason, error=why), at_us)
    elif pause_us is None:
        send_moves.move(db, tenant_id, send, Change("failed", error=why), at_us)
        conversations.set_flag(db, tenant_id, send.conversation_id, "send_failed")
    else:
        send_moves.move(db, tenant_id, send, Change("queued", error=why, until_us=at_us + pause_us), at_us)


def _refused(
    db: Transaction, tenant_id: str, taken: Taken, send: StoredSend, refused: Refused, at_us: int, jitter: float
) -> None:
    tried_for_us = at_us - send.first_us
    pause_us = again_us(refused.kind, send.attempts, tried_for_us, jitter)
    if pause_us is not None and refused.retry_after_s is not None:
        pause_us = max(pause_us, int(refused.retry_after_s * SECOND_US))
    match refused.kind:
        case "account":
            numbers.refuse(db, tenant_id, taken.number, str(refused)[:MOST_ERROR], at_us)
            send_queue.forget_attempts(db, tenant_id, send.id)
            pause_us = 0
        case "pair_rate":
            pause_us = _pause_pair(db, tenant_id, taken, at_us)
            pause_us = pause_us if tried_for_us + pause_us <= TRY_FOR_US else None
        case "number_rate" | "app_rate" | "maintenance" | "deleting" | "spam":
            _pause_number(db, tenant_id, taken, refused, pause_us or 0, at_us)
            pause_us = 0 if refused.kind == "spam" else pause_us
        case "needs_phone":
            contact = contacts.find_contact(db, tenant_id, taken.candidate.contact_id)
            pause_us = pause_us if contact is not None and contact.phone and not taken.candidate.phone else None
    if refused.kind == "window":
        send_moves.move(
            db, tenant_id, send, Change("failed", reason="window_closed", error=str(refused)[:MOST_ERROR]), at_us
        )
        fallback_template.shut(db, tenant_id, send, at_us)
        return
    if refused.kind == "opted_out":
        fallback_template.opt_out(db, tenant_id, send, at_us)
    if refused.kind == "content":
        refusals.bury(db, tenant_id, send, str(refused)[:MOST_ERROR], at_us)
    if pause_us is None and refused.kind in ("media", "content") and (text := _otherwise(send)):
        send_queue.set_content(db, tenant_id, send.id, *contents.write(TextContent(text)))
        pause_us = 0
    again(db, tenant_id, send, pause_us, str(refused), at_us)
    if refused.kind == "template_off":
        fallback_template.switch_off(db, tenant_id, send, str(refused)[:MOST_ERROR], at_us)


def _otherwise(send: StoredSend) -> str:
    """The text to send where a file cannot be, "" without one."""
    try:
        content = contents.read(send.kind, send.body)
    except ValueError:
        return ""
    return content.otherwise if isinstance(content, MediaContent) else ""


def _pause_pair(db: Transaction, tenant_id: str, taken: Taken, at_us: int) -> int:
    contact = contacts.find_contact(db, tenant_id, taken.candidate.contact_id)
    if contact is None:
        return 0
    pause_us = pair_pause_us(contact.backoff)
    send_queue.set_pair(db, tenant_id, contact.id, contact.tat_us, at_us + pause_us, contact.backoff + 1)
    return pause_us


def _pause_number(db: Transaction, tenant_id: str, taken: Taken, refused: Refused, pause_us: int, at_us: int) -> None:
    """Of several that were under way together only one slows the number down."""
    pace = send_queue.pace(db, tenant_id, taken.number.id)
    if refused.kind == "spam":
        pace = pace._replace(spam_us=at_us + SPAM_US)
        send_queue.tell_error(db, tenant_id, taken.number.id, str(refused)[:MOST_ERROR], at_us)
    else:
        bucket = number_bucket(taken.number.per_second, pace.slow_us, pace.paused_us, at_us)
        fresh = taken.at_us >= pace.paused_us
        slow_us = slower(bucket) if refused.kind == "number_rate" and fresh else 0
        kept_us = bucket.interval_us if pace.slow_us else 0
        if fresh:
            seconds = _NUMBER_PAUSE_S.get(refused.kind, 0)
            until_us = at_us + max(pause_us, seconds * SECOND_US, SECOND_US)
            pace = Pace(pace.tat_us, slow_us or kept_us, until_us, pace.spam_us)
    send_queue.set_pace(db, tenant_id, taken.number.id, pace)
