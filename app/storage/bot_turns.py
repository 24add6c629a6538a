"""Turns: one question of a user, in one message or many, and what a bot made of it; with what they have done so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.storage.conversations import MESSAGE_COLUMNS, StoredMessage
from app.storage.database import Transaction

#: Of so many conversations back the model is told.
CONVERSATIONS_BACK: Final = 5


class LegTaken(Exception):
    """Somebody else has paid for this leg of the turn, or done it."""


class StoredTurn(NamedTuple):
    """One row. `inputs` is a JSON list of message ids; `facts` is JSON: how long each part took, the model."""

    id: str
    conversation_id: str
    state: str
    attempts: int
    inputs: str
    reason: str
    facts: str
    created_us: int
    ended_us: int | None


_TURN: Final = "id, conversation_id, state, attempts, inputs, reason, facts, created_at, ended_at"


def find_turn(db: Transaction, tenant_id: str, turn_id: str) -> StoredTurn | None:
    row = db.one(f"SELECT {_TURN} FROM turns WHERE tenant_id = ? AND id = ?", tenant_id, turn_id)
    return None if row is None else StoredTurn(*row)


def begin_turn(db: Transaction, tenant_id: str, turn_id: str, conversation_id: str, inputs: str, at_us: int) -> int:
    """The turn runs, for the first time or again; how often by now."""
    row = db.one(
        f"INSERT INTO turns (tenant_id, {_TURN}) VALUES (?, ?, ?, 'running', 1, ?, '', '{{}}', ?, NULL) "
        "ON CONFLICT (tenant_id, id) DO UPDATE SET state = 'running', attempts = turns.attempts + 1 "
        "RETURNING attempts",
        *(tenant_id, turn_id, conversation_id, inputs, at_us),
    )
    return 1 if row is None else int(row[0])


def forgive(db: Transaction, tenant_id: str, conversation_id: str) -> None:
    """The attempt that runs was broken off by us on purpose, and counts for nothing."""
    sql = "UPDATE turns SET attempts = attempts - 1 WHERE tenant_id = ? AND conversation_id = ? AND state = 'running'"
    db.do(sql, tenant_id, conversation_id)


def end_turn(
    db: Transaction, tenant_id: str, turn_id: str, state: str, reason: str, at_us: int, facts: str = "{}"
) -> None:
    """It was answered, superseded, dropped, or has failed; one that has ended stays as it is."""
    db.do(
        "UPDATE turns SET state = ?, reason = ?, facts = ?, ended_at = ? "
        "WHERE tenant_id = ? AND id = ? AND state = 'running'",
        *(state, reason, facts, at_us, tenant_id, turn_id),
    )


def end_others(
    db: Transaction, tenant_id: str, conversation_id: str, turn_id: str, state: str, reason: str, at_us: int
) -> None:
    """Of a conversation no turn but this one runs: whoever ran another has died."""
    db.do(
        "UPDATE turns SET state = ?, reason = ?, ended_at = ? "
        "WHERE tenant_id = ? AND conversation_id = ? AND state = 'running' AND id <> ?",
        *(state, reason, at_us, tenant_id, conversation_id, turn_id),
    )


def paid_for(db: Transaction, tenant_id: str, conversation_id: str, since_us: int) -> StoredTurn | None:
    """The newest turn since then that has done something and came to no end: its process died."""
    row = db.one(
        f"SELECT {_TURN} FROM turns t WHERE tenant_id = ? AND conversation_id = ? AND created_at > ? "
        "AND state = 'running' AND EXISTS "
        "(SELECT 1 FROM turn_legs l WHERE l.tenant_id = t.tenant_id AND l.turn_id = t.id) "
        "ORDER BY created_at DESC LIMIT 1",
        *(tenant_id, conversation_id, since_us),
    )
    return None if row is None else StoredTurn(*row)


def since(db: Transaction, tenant_id: str, conversation_id: str, since_us: int) -> tuple[int, int]:
    """How many turns of this conversation have begun since then, and how many of these were answered."""
    sql = (
        "SELECT COUNT(*), COUNT(CASE WHEN state = 'answered' THEN 1 END) FROM turns "
        "WHERE tenant_id = ? AND conversation_id = ? AND created_at > ?"
    )
    begun, answered = db.all(sql, tenant_id, conversation_id, since_us)[0]
    return int(begun), int(answered)


def put_leg(db: Transaction, tenant_id: str, turn_id: str, leg: str, call_id: str, result: str, at_us: int) -> None:
    """What a turn has paid for or done, once. The same one may be written again, by whoever was not told that it was.

    Raises LegTaken for another one of that name, which undoes its charge.
    """
    row = db.one(
        "INSERT INTO turn_legs (tenant_id, turn_id, leg, call_id, result, created_at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (tenant_id, turn_id, leg) DO UPDATE SET call_id = turn_legs.call_id RETURNING call_id",
        *(tenant_id, turn_id, leg, call_id, result, at_us),
    )
    if row is None or row[0] != call_id:
        raise LegTaken(f"{turn_id} {leg}")


def legs(db: Transaction, tenant_id: str, turn_id: str) -> dict[str, str]:
    """The results of what it has done, by leg."""
    sql = "SELECT leg, result FROM turn_legs WHERE tenant_id = ? AND turn_id = ?"
    return {row[0]: row[1] for row in db.all(sql, tenant_id, turn_id)}


def open_inputs(db: Transaction, tenant_id: str, conversation_id: str) -> list[StoredMessage]:
    """What a turn has to answer, in the order in which the user wrote it."""
    rows = db.all(
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE tenant_id = ? AND conversation_id = ? AND disposition = 'open' "
        "ORDER BY provider_at, seq",
        *(tenant_id, conversation_id),
    )
    return [StoredMessage(*row) for row in rows]


def dispose(db: Transaction, tenant_id: str, message_ids: Sequence[str], disposition: str, turn_id: str = "") -> None:
    """Why these inputs wait no longer: they are answered, or will not be. What is disposed of already stays so."""
    for message_id in message_ids:
        db.do(
            "UPDATE messages SET disposition = ?, turn_id = ? WHERE tenant_id = ? AND id = ? AND disposition = 'open'",
            *(disposition, turn_id, tenant_id, message_id),
        )


def dispose_open(db: Transaction, tenant_id: str, conversation_id: str, disposition: str) -> None:
    """Why nothing that waits in this conversation is answered."""
    db.do(
        "UPDATE messages SET disposition = ? WHERE tenant_id = ? AND conversation_id = ? AND disposition = 'open'",
        *(disposition, tenant_id, conversation_id),
    )


def set_content(db: Transaction, tenant_id: str, message_id: str, content: str, details: str) -> None:
    """What a voice note was understood to say, or what has been kept of a file."""
    sql = "UPDATE messages SET content = ?, details = ? WHERE tenant_id = ? AND id = ?"
    db.do(sql, content, details, tenant_id, message_id)


def history(db: Transaction, tenant_id: str, contact_id: str, limit: int) -> list[StoredMessage]:
    """What the contact and we have said before, in this conversation and the last ones, oldest first.

    Without what still waits for an answer, what was deleted, and what never left.
    """
    columns = ", ".join(f"m.{name}" for name in MESSAGE_COLUMNS.split(", "))
    rows = db.all(
        f"SELECT {columns} FROM (SELECT id FROM conversations WHERE tenant_id = ? AND contact_id = ? "
        f"ORDER BY created_at DESC LIMIT {CONVERSATIONS_BACK}) c JOIN messages m "
        "ON m.tenant_id = ? AND m.conversation_id = c.id WHERE m.disposition NOT IN ('open', 'revoked') "
        "AND m.status NOT IN ('failed', 'dropped') ORDER BY m.seq DESC LIMIT ?",
        *(tenant_id, contact_id, tenant_id, limit),
    )
    return [StoredMessage(*row) for row in reversed(rows)]


def by_provider_id(db: Transaction, tenant_id: str, conversation_id: str, provider_id: str) -> StoredMessage | None:
    """The message that the provider calls so."""
    row = db.one(
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE tenant_id = ? AND provider_id = ? AND conversation_id = ?",
        *(tenant_id, provider_id, conversation_id),
    )
    return None if row is None else StoredMessage(*row)
