"""Reading calls back: the receipt behind `GET /v1/generation`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.storage.database import Transaction

COLUMNS: Final = (
    *("id", "key_id", "request_id", "endpoint", "category", "model", "streamed", "opened_at", "state", "hold"),
    *("expires_at", "ended_at", "outcome", "charge", "uncollected", "basis", "rule", "receipt"),
)


def find_call(db: Transaction, tenant_id: str, call_id: str) -> dict[str, Any] | None:
    """One call as a dict of `COLUMNS`, its receipt decoded; None when this tenant has no such call."""
    row = db.one(f"SELECT {', '.join(COLUMNS)} FROM calls WHERE tenant_id = ? AND id = ?", tenant_id, call_id)
    if row is None:
        return None
    call = dict(zip(COLUMNS, row, strict=True))
    call["receipt"] = msgspec.json.decode(call["receipt"]) if call["receipt"] else {}
    return call
