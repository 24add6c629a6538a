"""What goes out, as it moves: one row, the message that it is a part of, and who is told.

Every change of a row's state goes through `move`, so that the message in the inbox, the parts behind it and the events
never say anything else than the row does.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from app.core.sends import FURTHER, GONE, State, message_status
from app.storage import outbox
from app.storage.database import Transaction


class StoredSend(NamedTuple):
    """One row. `reason` says why it will not be sent (any more); while it is on its way, why it is not tried again."""

    id: str
    seq: int
    number_id: str
    conversation_id: str
    message_id: str
    turn_id: str
    part: int
    origin: str
    kind: str
    body: str
    state: State
    reason: str
    error: str
    attempts: int
    first_us: int
    lease_us: int
    provider_id: str
    created_us: int
    updated_us: int


class Change(NamedTuple):
    """What becomes of a row. What is queued is due at `until_us`; of what is open the lease ends then. `provider_id` is
    only ever filled in."""

    state: State
    reason: str = ""
    error: str = ""
    provider_id: str = ""
    until_us: int = 0


_COLUMNS: Final = (
    "id, seq, number_id, conversation_id, message_id, turn_id, part, origin, kind, body, state, reason, error, "
    "attempts, first_at, lease_until, provider_id, created_at, updated_at"
)

#: By the index `sends_next`: a number may have sent millions.
_QUEUED_TEMPLATES: Final = (
    f"SELECT {_COLUMNS} FROM sends WHERE tenant_id = ? AND number_id = ? AND origin = 'template' "
    "AND state = 'queued' AND turn_id LIKE ? ORDER BY seq"
)


def find(db: Transaction, tenant_id: str, send_id: str) -> StoredSend | None:
    row = db.one(f"SELECT {_COLUMNS} FROM sends WHERE tenant_id = ? AND id = ?", tenant_id, send_id)
    return None if row is None else StoredSend(*row)


def find_provided(db: Transaction, tenant_id: str, provider_id: str) -> StoredSend | None:
    """By the id that the provider has given it."""
    sql = f"SELECT {_COLUMNS} FROM sends WHERE tenant_id = ? AND provider_id = ? AND provider_id <> ''"
    row = db.one(sql, tenant_id, provider_id)
    return None if row is None else StoredSend(*row)


def of_message(db: Transaction, tenant_id: str, message_id: str) -> list[StoredSend]:
    """The parts of a message, in order."""
    sql = f"SELECT {_COLUMNS} FROM sends WHERE tenant_id = ? AND message_id = ? ORDER BY seq"
    return [StoredSend(*row) for row in db.all(sql, tenant_id, message_id)]


def waiting(
    db: Transaction, tenant_id: str, where: str, value: str, origins: tuple[str, ...] = (), after_part: int = 0
) -> list[StoredSend]:
    """What has not been taken up yet: of a number, a conversation or a turn (`where` is the column), of these origins
    or of all, and of a turn behind this part."""
    sql = f"SELECT {_COLUMNS} FROM sends WHERE tenant_id = ? AND {where} = ? AND state IN ('making', 'queued')"
    if origins:
        sql += f" AND origin IN ({', '.join('?' * len(origins))})"
    rows = db.all(f"{sql} AND part > ? ORDER BY seq", tenant_id, value, *origins, after_part)
    return [StoredSend(*row) for row in rows]


def queued_templates(db: Transaction, tenant_id: str, number_id: str, turn: str) -> list[StoredSend]:
    """Templates that wait at a number and whose turn ends with this."""
    return [StoredSend(*row) for row in db.all(_QUEUED_TEMPLATES, tenant_id, number_id, f"%{turn}")]


def move(db: Transaction, tenant_id: str, send: StoredSend, change: Change, at_us: int) -> None:
    """The row is so from now on. One that fails or is dropped takes the parts behind it with it."""
    state, reason, error, provider_id, until_us = change
    queued, gone = state == "queued", state in GONE
    db.do(
        "UPDATE sends SET state = ?, reason = ?, error = ?, updated_at = ?, "
        "due_at = CASE WHEN ? THEN ? ELSE due_at END, "
        "lease_until = CASE WHEN ? THEN 0 ELSE ? END, "
        "provider_id = CASE WHEN provider_id = '' THEN ? ELSE provider_id END, "
        "accepted_at = CASE WHEN ? THEN COALESCE(accepted_at, ?) ELSE accepted_at END WHERE tenant_id = ? AND id = ?",
        *(state, reason, error, at_us, queued, until_us, queued, until_us, provider_id),
        *(gone, at_us, tenant_id, send.id),
    )
    touched = {send.message_id: provider_id}
    if state in ("failed", "dropped"):
        behind = reason if state == "dropped" else "previous_part_failed"
        for later in waiting(db, tenant_id, "turn_id", send.turn_id, after_part=send.part):
            _drop(db, tenant_id, later, behind, at_us)
            touched.setdefault(later.message_id, "")
    for message_id, provided in touched.items():
        follow(db, tenant_id, message_id, at_us, provided)


def supersede(db: Transaction, tenant_id: str, send: StoredSend, error: str, at_us: int) -> None:
    """Another row goes out in its place: the message is as far as it was, and will bear that one's id."""
    db.do(
        "UPDATE sends SET state = 'dropped', reason = 'superseded', error = ?, lease_until = 0, updated_at = ? "
        "WHERE tenant_id = ? AND id = ?",
        *(error, at_us, tenant_id, send.id),
    )
    forget = "UPDATE messages SET provider_id = '' WHERE tenant_id = ? AND id = ? AND provider_id = ?"
    db.do(forget, tenant_id, send.message_id, send.provider_id)


def drop(db: Transaction, tenant_id: str, sends: list[StoredSend], reason: str, at_us: int) -> None:
    """None of these will be sent."""
    for send in sends:
        _drop(db, tenant_id, send, reason, at_us)
    for message_id in dict.fromkeys(send.message_id for send in sends):
        follow(db, tenant_id, message_id, at_us)


def follow(db: Transaction, tenant_id: str, message_id: str, at_us: int, provider_id: str = "") -> None:
    """Let the message be as far as its parts are, and tell those who listen. It bears the provider's id of its first
    part that has one."""
    message = db.one("SELECT status FROM messages WHERE tenant_id = ? AND id = ?", tenant_id, message_id)
    if message is None:
        return
    rows = db.all(
        "SELECT state, error FROM sends WHERE tenant_id = ? AND message_id = ? "
        "AND (reason <> 'superseded' OR accepted_at IS NOT NULL)",  # of one that was accepted they have been told
        *(tenant_id, message_id),
    )
    was, now = message[0], message_status(row[0] for row in rows)
    if was in GONE and now in FURTHER and FURTHER.index(now) < FURTHER.index(was):
        now = was  # what goes out in place of a part begins anew, and the message does not
    if was != now or provider_id:
        db.do(
            "UPDATE messages SET status = ?, provider_id = CASE WHEN provider_id = '' THEN ? ELSE provider_id END "
            "WHERE tenant_id = ? AND id = ?",
            *(now, provider_id, tenant_id, message_id),
        )
    for event in _events(was, now, {row[0] for row in rows}):
        _tell(db, tenant_id, message_id, event, now, next((row[1] for row in rows if row[0] == "failed"), ""), at_us)


def _drop(db: Transaction, tenant_id: str, send: StoredSend, reason: str, at_us: int) -> None:
    db.do(
        "UPDATE sends SET state = 'dropped', reason = ?, updated_at = ? WHERE tenant_id = ? AND id = ?",
        *(reason, at_us, tenant_id, send.id),
    )


def _events(was: str, now: State, parts: set[State]) -> list[str]:
    """What there is to tell of a message that was `was` and is `now`."""
    if was == now:
        return []
    if now == "failed":
        return ["message.failed"]
    told = []
    if now in GONE and was not in GONE and parts <= GONE:
        told.append("message.sent")
    if now in ("delivered", "read", "played"):
        told.append("message.status")
    return told


def _tell(db: Transaction, tenant_id: str, message_id: str, event: str, status: str, error: str, at_us: int) -> None:
    row = db.one(
        "SELECT m.conversation_id, v.bot_id, v.channel, c.phone, c.user_id, m.message_type, m.content FROM messages m "
        "JOIN conversations v ON v.tenant_id = m.tenant_id AND v.id = m.conversation_id "
        "LEFT JOIN contacts c ON c.tenant_id = v.tenant_id AND c.id = v.contact_id WHERE m.tenant_id = ? AND m.id = ?",
        *(tenant_id, message_id),
    )
    if row is None:
        return
    conversation_id, bot_id, channel, phone, user_id, kind, text = row
    data: dict[str, Any] = {"conversation_id": conversation_id, "bot_id": bot_id, "channel": channel}
    data |= {"to": phone or None, "user_id": user_id or None, "message_id": message_id, "status": status}
    if event == "message.sent":
        data |= {"type": kind, "text": text}
    if event == "message.failed":
        data |= {"error": error or None}
    outbox.emit(db, tenant_id, event, data, at_us)
