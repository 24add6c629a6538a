"""What goes out to contacts: written in the transaction of what it answers, and what others have to say of it later.

How a row is taken up and what comes of it: `app.storage.send_queue`, `app.storage.send_moves`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from app.core.sends import (
    CONTENT_CODES,
    MEDIA_CODES,
    OPT_OUT_CODES,
    TEMPLATE_OFF_CODES,
    WINDOW_CODES,
    Origin,
    State,
    moved,
)
from app.storage import conversations, fallback_template, refusals, send_moves
from app.storage.database import Transaction
from app.storage.send_moves import Change, StoredSend, find, find_provided, move, waiting

#: Why a row is not tried again although it is on its way.
_STOPPED: Final = "UPDATE sends SET reason = ? WHERE tenant_id = ? AND state IN ('sending', 'unknown')"


class NewSend(NamedTuple):
    """One message of the provider's: a part of one of ours. `seq` orders those of a conversation; (`turn_id`, `part`)
    is unique, so that nothing is said twice. `kind` and `body` are written by `channels.conversations.contents`."""

    id: str
    seq: int
    number_id: str
    contact_id: str
    conversation_id: str
    message_id: str
    turn_id: str
    part: int
    origin: Origin
    kind: str
    body: str
    state: State = "queued"


class Told(NamedTuple):
    """What the provider says of one of ours: by its own id, by ours (`reference`), or by both."""

    provider_id: str
    reference: str
    state: State
    error_code: str
    error: str
    at_us: int


def insert(db: Transaction, tenant_id: str, send: NewSend, at_us: int) -> None:
    """It goes out as soon as it may; one that is `making` waits for `made`."""
    db.do(
        "INSERT INTO sends (tenant_id, id, seq, number_id, contact_id, conversation_id, message_id, turn_id, part, "
        "origin, kind, body, state, due_at, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(tenant_id, *send, at_us, at_us, at_us),
    )


def last_seq(db: Transaction, tenant_id: str, conversation_id: str) -> int:
    """The greatest number that something in this conversation has; 0 before the first."""
    row = db.one("SELECT MAX(seq) FROM sends WHERE tenant_id = ? AND conversation_id = ?", tenant_id, conversation_id)
    return 0 if row is None else row[0] or 0


def made(db: Transaction, tenant_id: str, message_id: str, part: int, kind: str, body: str, at_us: int) -> bool:
    """What was `making` is there and goes out as this; False when it was dropped meanwhile."""
    done = db.run(
        "UPDATE sends SET state = 'queued', kind = ?, body = ?, due_at = ?, updated_at = ? "
        "WHERE tenant_id = ? AND message_id = ? AND part = ? AND state = 'making'",
        *(kind, body, at_us, at_us, tenant_id, message_id, part),
    )
    if done:
        send_moves.follow(db, tenant_id, message_id, at_us)
    return done > 0


def drop_queued(
    db: Transaction,
    tenant_id: str,
    conversation_id: str,
    reason: str,
    at_us: int,
    origins: tuple[str, ...] = ("reply", "notice"),
) -> int:
    """Nothing more of these origins goes out in this conversation; how many were dropped.

    What is on its way to the provider is let go to its end, and not tried again.
    """
    places = ", ".join("?" * len(origins))
    db.do(f"{_STOPPED} AND conversation_id = ? AND origin IN ({places})", reason, tenant_id, conversation_id, *origins)
    dropped = waiting(db, tenant_id, "conversation_id", conversation_id, origins)
    send_moves.drop(db, tenant_id, dropped, reason, at_us)
    return len(dropped)


def drop_of_number(db: Transaction, tenant_id: str, number_id: str, reason: str, at_us: int) -> int:
    """Nothing more leaves this number; how many were dropped."""
    db.do(f"{_STOPPED} AND number_id = ?", reason, tenant_id, number_id)
    dropped = waiting(db, tenant_id, "number_id", number_id)
    send_moves.drop(db, tenant_id, dropped, reason, at_us)
    return len(dropped)


def send_again(db: Transaction, tenant_id: str, message_id: str, at_us: int) -> int:
    """Send the parts whose outcome was never known once more, and those behind them that were dropped for it: somebody
    has looked and wants it, whether or not the bot still speaks. How many."""
    parts = send_moves.of_message(db, tenant_id, message_id)
    if not any(part.state == "failed" and part.reason == "unknown_outcome" for part in parts):
        return 0
    again = [part for part in parts if part.reason in ("unknown_outcome", "previous_part_failed")]
    for part in again:
        origin = "template" if part.origin == "template" else "human"
        reset = "UPDATE sends SET attempts = 0, first_at = 0, origin = ? WHERE tenant_id = ? AND id = ?"
        db.do(reset, origin, tenant_id, part.id)
        move(db, tenant_id, part, Change("queued", until_us=at_us), at_us)
    return len(again)


def apply_status(db: Transaction, tenant_id: str, number_id: str, status: Told, at_us: int) -> bool:
    """Let one of ours be as far as the provider says, never less far than it was. False: no such send yet.

    A status may come before the answer to the request that it is about, or after that was given up (channels.md
    section 7.4); it then tells the provider's id as well.
    """
    send = _meant(db, tenant_id, status)
    if send is None or send.number_id != number_id:
        return False
    if send.reason == "superseded":
        return True  # its text has gone out, or will, and what is behind it with it
    if status.state == "failed":
        may_fail = _may_fail(send, status)
        if may_fail:
            fail(db, tenant_id, send, status, at_us)
        return may_fail is not None
    late = (send.state == "failed" and send.reason == "unknown_outcome") or (
        send.state == "dropped" and send.reason == "too_old" and send.attempts > 0  # an attempt was under way
    )
    state = moved("unknown" if late else send.state, status.state)
    if state != send.state or not send.provider_id:
        kept = send.reason if state in ("failed", "dropped") else ""
        move(db, tenant_id, send, Change(state, reason=kept, error=send.error, provider_id=status.provider_id), at_us)
    return True


def _meant(db: Transaction, tenant_id: str, status: Told) -> StoredSend | None:
    by_reference = find(db, tenant_id, status.reference) if status.reference else None
    return by_reference or find_provided(db, tenant_id, status.provider_id)


def _may_fail(send: StoredSend, status: Told) -> bool | None:
    """Whether this is told of the newest attempt, and news; None when only the answer to that attempt will tell.

    One that is tried again must not fail for what an earlier attempt is told: only the id tells them apart. What was
    given up because nobody knew may turn out to have failed; were it not kept, a late answer would make it accepted.
    """
    if send.provider_id and status.provider_id and send.provider_id != status.provider_id:
        return False
    certain = send.attempts <= 1 or bool(send.provider_id)
    if send.state in ("sending", "unknown"):
        return True if certain else None
    if send.state == "failed" and send.reason == "unknown_outcome":
        return certain
    return send.state not in ("making", "queued") and moved(send.state, "failed") != send.state


def fail(db: Transaction, tenant_id: str, send: StoredSend, status: Told, at_us: int) -> None:
    """It was accepted and has failed: whatever is to be done about that."""
    code = status.error_code
    error = f"{code}: {status.error}" if code else status.error
    if code in CONTENT_CODES:
        refusals.bury(db, tenant_id, send, error, at_us)
    if code in CONTENT_CODES | MEDIA_CODES and refusals.text_instead(db, tenant_id, send, error, at_us):
        return
    reason = "window_closed" if code in WINDOW_CODES else ""
    move(db, tenant_id, send, Change("failed", reason=reason, error=error, provider_id=status.provider_id), at_us)
    conversations.raise_flag(db, tenant_id, send.conversation_id, "send_failed")
    if code in WINDOW_CODES:
        fallback_template.shut(db, tenant_id, send, at_us)
    if code in OPT_OUT_CODES:
        fallback_template.opt_out(db, tenant_id, send, at_us)
    if code in TEMPLATE_OFF_CODES:
        fallback_template.switch_off(db, tenant_id, send, error, at_us)
