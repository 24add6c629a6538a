"""Messages that are changed after they came: found by the id that the provider gave them."""

from __future__ import annotations

from app.storage.conversations import MESSAGE_COLUMNS, StoredMessage
from app.storage.database import Transaction


def find_message(db: Transaction, tenant_id: str, provider_id: str) -> StoredMessage | None:
    """The message that the provider calls so, a user's or one of ours, of which a part may be called so."""
    row = db.one(
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE tenant_id = ? AND provider_id = ? AND provider_id <> ''",
        *(tenant_id, provider_id),
    ) or db.one(
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE tenant_id = ? AND id IN "
        "(SELECT message_id FROM sends WHERE tenant_id = ? AND provider_id = ? AND provider_id <> '')",
        *(tenant_id, tenant_id, provider_id),
    )
    return None if row is None else StoredMessage(*row)


def change_message(db: Transaction, tenant_id: str, message: StoredMessage) -> None:
    """Write what the user may have changed of it: what it says, whether it waits for an answer, what is known of it."""
    db.do(
        "UPDATE messages SET content = ?, disposition = ?, details = ? WHERE tenant_id = ? AND id = ?",
        *(message.content, message.disposition, message.details, tenant_id, message.id),
    )


def set_external_id(db: Transaction, tenant_id: str, conversation_id: str, external_id: str) -> None:
    """What the user is shown as: more may be known by now than when it began."""
    sql = "UPDATE conversations SET external_id = ? WHERE tenant_id = ? AND id = ?"
    db.do(sql, external_id, tenant_id, conversation_id)
