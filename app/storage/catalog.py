"""The catalog in the database: what seeds write and every process reads again when its digest changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from app.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Changes:
    """Entry ids by what happened to them."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def stored_digest(db: Transaction) -> str | None:
    row = db.one("SELECT digest FROM catalog_version WHERE one = 1")
    return None if row is None else str(row[0])


def stored_documents(db: Transaction, kind: str) -> dict[str, dict[str, Any]]:
    """All entries of one kind (`model`, `plan`, `rates`) by id, in the order they were seeded."""
    rows = db.all("SELECT id, document FROM catalog_entries WHERE kind = ? ORDER BY place", kind)
    return {row[0]: msgspec.json.decode(row[1]) for row in rows}


def compare(db: Transaction, kind: str, wanted: Mapping[str, Mapping[str, Any]]) -> Changes:
    """What `store` would change."""
    have = stored_documents(db, kind)
    added = tuple(name for name in wanted if name not in have)
    changed = tuple(name for name in wanted if name in have and have[name] != wanted[name])
    return Changes(added, changed, tuple(name for name in have if name not in wanted))


def store(db: Transaction, kind: str, wanted: Mapping[str, Mapping[str, Any]]) -> Changes:
    """Make the stored entries of a kind equal to `wanted`."""
    changes = compare(db, kind, wanted)
    for place, name in enumerate(wanted):
        db.do(
            "INSERT INTO catalog_entries (kind, id, place, document) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (kind, id) DO UPDATE SET place = excluded.place, document = excluded.document",
            *(kind, name, place, msgspec.json.encode(wanted[name]).decode()),
        )
    for name in changes.removed:
        db.do("DELETE FROM catalog_entries WHERE kind = ? AND id = ?", kind, name)
    return changes


def set_digest(db: Transaction, digest: str) -> None:
    db.do(
        "INSERT INTO catalog_version (one, digest) VALUES (1, ?) "
        "ON CONFLICT (one) DO UPDATE SET digest = excluded.digest",
        digest,
    )
