"""API keys as their organisation manages them: whole rows, listed, changed, given a new text."""

from __future__ import annotations

from typing import Final, NamedTuple

from app.core.times import Place
from app.storage.database import Transaction


class KeyRow(NamedTuple):
    """One row without its digest. `expires_us` is None for never; `spent_ucr` is of `spent_month`."""

    id: str
    name: str
    hint: str
    permissions: str
    scopes: str
    allowed_domains: str
    allowed_models: str
    allowed_search_providers: str
    rpm: int | None
    budget_ucr: int | None
    logs_enabled: bool
    prompt_logging_enabled: bool
    expires_us: int | None
    is_active: bool
    created_us: int
    spent_month: str = ""
    spent_ucr: int = 0
    tat_us: int = 0

    def spent_in(self, month: str) -> int:
        """Micro-credits that its calls have cost in this month so far."""
        return self.spent_ucr if self.spent_month == month else 0


_WRITTEN: Final = (
    "id, name, hint, permissions, scopes, allowed_domains, allowed_models, allowed_search_providers, rpm, budget, "
    "logs_enabled, prompt_logging_enabled, expires_at, is_active, created_at"
)
_SELECT: Final = f"SELECT {_WRITTEN}, spent_month, spent, tat FROM api_keys WHERE tenant_id = ? AND kind = 'key'"


def insert_row(db: Transaction, tenant_id: str, key: KeyRow, digest: str) -> None:
    db.do(
        f"INSERT INTO api_keys (tenant_id, digest, {_WRITTEN}) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(tenant_id, digest, *key[:10], int(key.logs_enabled), int(key.prompt_logging_enabled)),
        *(key.expires_us, int(key.is_active), key.created_us),
    )


def find_row(db: Transaction, tenant_id: str, key_id: str) -> KeyRow | None:
    """The key, live or revoked."""
    row = db.one(f"{_SELECT} AND id = ?", tenant_id, key_id)
    return None if row is None else _key(row)


def find_live(db: Transaction, tenant_id: str, name: str) -> str | None:
    """The id of the live key of this name."""
    row = db.one("SELECT id FROM api_keys WHERE tenant_id = ? AND name = ? AND is_active = 1", tenant_id, name)
    return None if row is None else str(row[0])


def count_live(db: Transaction, tenant_id: str) -> int:
    """How many keys of the tenant are not revoked."""
    sql = "SELECT COUNT(*) FROM api_keys WHERE tenant_id = ? AND kind = 'key' AND is_active = 1"
    return int(db.all(sql, tenant_id)[0][0])


def list_rows(db: Transaction, tenant_id: str, *, revoked: bool, after: Place | None, limit: int) -> list[KeyRow]:
    """The next keys after a place, newest first; the revoked ones only if asked for."""
    live = "" if revoked else " AND is_active = 1"
    paged = "" if after is None else " AND (created_at, id) < (?, ?)"
    order = " ORDER BY created_at DESC, id DESC LIMIT ?"
    return [_key(row) for row in db.all(f"{_SELECT}{live}{paged}{order}", tenant_id, *(after or ()), limit)]


def update_row(db: Transaction, tenant_id: str, key: KeyRow) -> None:
    """Write what may change of a live key; its next call everywhere sees it, and webhooks are told anew."""
    db.do(
        "UPDATE api_keys SET name = ?, permissions = ?, scopes = ?, allowed_domains = ?, allowed_models = ?, "
        "allowed_search_providers = ?, rpm = ?, budget = ?, logs_enabled = ?, prompt_logging_enabled = ?, "
        "expires_at = ?, told_month = '', version = version + 1 WHERE tenant_id = ? AND id = ? AND is_active = 1",
        *(key.name, *key[3:10], int(key.logs_enabled), int(key.prompt_logging_enabled), key.expires_us),
        *(tenant_id, key.id),
    )


def replace_text(db: Transaction, tenant_id: str, key_id: str, digest: str, hint: str) -> None:
    """Give a live key another text; the next call with the old one fails everywhere."""
    db.do(
        "UPDATE api_keys SET digest = ?, hint = ?, version = version + 1 "
        "WHERE tenant_id = ? AND id = ? AND is_active = 1",
        *(digest, hint, tenant_id, key_id),
    )


def _key(row: tuple[object, ...]) -> KeyRow:
    key = KeyRow(*row)  # type: ignore[arg-type]  # as the columns say
    return key._replace(
        logs_enabled=bool(key.logs_enabled),
        prompt_logging_enabled=bool(key.prompt_logging_enabled),
        is_active=bool(key.is_active),
    )
