"""Images that were delivered: one row each, listed newest first; their bytes are files (`app.storage.blobs`)."""

from __future__ import annotations

import sys
from dataclasses import astuple, dataclass
from typing import Final

from app.core.times import Place
from app.storage.database import Transaction

#: Later than any image.
LAST: Final = Place(sys.maxsize, "")
COLUMNS: Final = "id, created_at, call_id, key_id, model, details, media_type, bytes, sha256"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One row. `details` is JSON; `sha256`, in hex, and `bytes` are those of the file."""

    id: str
    created_us: int
    call_id: str
    key_id: str
    model: str
    details: str
    media_type: str
    bytes: int
    sha256: str


def store(db: Transaction, tenant_id: str, image: StoredImage) -> None:
    """Keep a row; one that is there already stays as it is."""
    db.do(
        f"INSERT INTO images (tenant_id, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (tenant_id, id) DO NOTHING",
        *(tenant_id, *astuple(image)),
    )


def page(db: Transaction, tenant_id: str, before: Place | None, since_us: int, limit: int) -> list[StoredImage]:
    """The newest images before a place, none as old as `since_us`."""
    rows = db.all(
        f"SELECT {COLUMNS} FROM images WHERE tenant_id = ? AND (created_at, id) < (?, ?) AND created_at > ? "
        "ORDER BY created_at DESC, id DESC LIMIT ?",
        *(tenant_id, *(before or LAST), since_us, limit),
    )
    return [StoredImage(*row) for row in rows]


def find(db: Transaction, tenant_id: str, image_id: str, since_us: int) -> StoredImage | None:
    """The image if this tenant has it and it is younger than `since_us`."""
    row = db.one(
        f"SELECT {COLUMNS} FROM images WHERE tenant_id = ? AND id = ? AND created_at > ?",
        *(tenant_id, image_id, since_us),
    )
    return None if row is None else StoredImage(*row)


def sweep(db: Transaction, since_us: int, limit: int) -> list[tuple[str, str]]:
    """Delete what is as old as `since_us`, at most `limit`; tells whose each was and its id, in this order."""
    rows = db.all(
        "DELETE FROM images WHERE (tenant_id, id) IN "
        "(SELECT tenant_id, id FROM images WHERE created_at <= ? ORDER BY created_at LIMIT ?) RETURNING tenant_id, id",
        *(since_us, limit),
    )
    return sorted((tenant_id, image_id) for tenant_id, image_id in rows)
