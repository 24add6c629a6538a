"""Responses that are kept to be read back or continued: one row each, with what was sent and what was answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """One row. `input` and `response` are JSON; `events` are those of its stream, packed, "" if it was none."""

    id: str
    created_us: int
    expires_us: int
    previous_id: str | None
    input: str
    response: str
    events: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A response as part of a conversation; `previous_id` None begins it."""

    id: str
    previous_id: str | None
    input: str
    response: str


def store(db: Transaction, tenant_id: str, kept: StoredResponse) -> None:
    """Keep a response; one that is there already stays as it is."""
    db.do(
        "INSERT INTO responses (tenant_id, id, created_at, expires_at, previous_id, input, response, events) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id, id) DO NOTHING",
        *(tenant_id, kept.id, kept.created_us, kept.expires_us, kept.previous_id),
        *(kept.input, kept.response, kept.events),
    )


def find(db: Transaction, tenant_id: str, response_id: str, at_us: int) -> StoredResponse | None:
    """The response if this tenant has it and its time is not over."""
    row = db.one(
        "SELECT id, created_at, expires_at, previous_id, input, response, events FROM responses "
        "WHERE tenant_id = ? AND id = ? AND expires_at > ?",
        *(tenant_id, response_id, at_us),
    )
    return None if row is None else StoredResponse(*row)


_CHAIN: Final = """
    WITH RECURSIVE chain (id, previous_id, depth, size) AS (
        SELECT id, previous_id, 1, LENGTH(input) + LENGTH(response) FROM responses
        WHERE tenant_id = ? AND id = ? AND expires_at > ?
        UNION ALL
        SELECT r.id, r.previous_id, c.depth + 1, c.size + LENGTH(r.input) + LENGTH(r.response)
        FROM chain c JOIN responses r ON r.id = c.previous_id
        WHERE r.tenant_id = ? AND r.expires_at > ? AND c.depth < ? AND c.size < ?)
    SELECT r.id, r.previous_id, r.input, r.response FROM chain c JOIN responses r ON r.id = c.id
    WHERE r.tenant_id = ? ORDER BY c.depth"""


def conversation(
    db: Transaction, tenant_id: str, response_id: str, at_us: int, longest: int, largest: int
) -> list[Link]:
    """The response and those before it, newest first; stops after `longest`, or when `largest` characters are met.

    If the last one has a `previous_id` the conversation is not whole.
    """
    rows = db.all(_CHAIN, *(tenant_id, response_id, at_us), *(tenant_id, at_us, longest, largest), *(tenant_id,))
    return [Link(*row) for row in rows]


def delete(db: Transaction, tenant_id: str, response_id: str) -> bool:
    """False when this tenant has no such response."""
    return db.run("DELETE FROM responses WHERE tenant_id = ? AND id = ?", tenant_id, response_id) > 0


def sweep(db: Transaction, at_us: int, limit: int) -> int:
    """Delete what is past its time; how many, at most `limit`."""
    return db.run(
        "DELETE FROM responses WHERE (tenant_id, id) IN "
        "(SELECT tenant_id, id FROM responses WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        *(at_us, limit),
    )
