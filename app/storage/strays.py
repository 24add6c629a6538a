"""Files without a row: a file of `app.storage.blobs` has the id of its row in one of these tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from app.storage.database import Transaction

FilesOf = Literal["images", "media"]


def strays(db: Transaction, tenant_id: str, table: FilesOf, ids: Sequence[str]) -> list[str]:
    """Those of these ids that the tenant has no row of.

    None of a tenant that is not in this database: its files may belong to another gateway.
    """
    if not ids or db.one("SELECT 1 FROM tenants WHERE id = ?", tenant_id) is None:
        return []
    marks = ", ".join("?" * len(ids))
    rows = db.all(f"SELECT id FROM {table} WHERE tenant_id = ? AND id IN ({marks})", tenant_id, *ids)
    known = {row[0] for row in rows}
    return [each for each in ids if each not in known]
