"""Files of messages: one row each; their bytes are files (`app.storage.blobs`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.storage.database import Transaction


class StoredMedia(NamedTuple):
    """One row. `sha256`, in hex, and `size` are those of the file."""

    id: str
    message_id: str
    media_type: str
    size: int
    sha256: str
    name: str
    created_us: int


_COLUMNS: Final = "id, message_id, media_type, bytes, sha256, name, created_at"


def insert_media(db: Transaction, tenant_id: str, media: StoredMedia) -> None:
    db.do(f"INSERT INTO media (tenant_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", tenant_id, *media)


def find_media(db: Transaction, tenant_id: str, media_id: str) -> StoredMedia | None:
    row = db.one(f"SELECT {_COLUMNS} FROM media WHERE tenant_id = ? AND id = ?", tenant_id, media_id)
    return None if row is None else StoredMedia(*row)


def of_message(db: Transaction, tenant_id: str, message_id: str) -> StoredMedia | None:
    """The message's file, if it has been kept."""
    row = db.one(
        f"SELECT {_COLUMNS} FROM media WHERE tenant_id = ? AND message_id = ? ORDER BY created_at, id LIMIT 1",
        *(tenant_id, message_id),
    )
    return None if row is None else StoredMedia(*row)


def with_file(db: Transaction, tenant_id: str, message_ids: Sequence[str]) -> set[str]:
    """Those of these messages whose file has been kept."""
    if not message_ids:
        return set()
    marks = ", ".join("?" * len(message_ids))
    sql = f"SELECT message_id FROM media WHERE tenant_id = ? AND message_id IN ({marks})"
    rows = db.all(sql, tenant_id, *message_ids)
    return {row[0] for row in rows}


def sweep(db: Transaction, since_us: int, limit: int) -> list[tuple[str, str]]:
    """Delete what is as old as `since_us`, at most `limit`; tells whose each was and its id."""
    rows = db.all(
        "DELETE FROM media WHERE (tenant_id, id) IN "
        "(SELECT tenant_id, id FROM media WHERE created_at <= ? ORDER BY created_at LIMIT ?) RETURNING tenant_id, id",
        *(since_us, limit),
    )
    return [(row[0], row[1]) for row in rows]
