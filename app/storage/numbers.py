"""Numbers that organisations have connected: which bot answers there, its secrets (sealed), its pace."""

from __future__ import annotations

from typing import Final, NamedTuple

from app.storage.database import Transaction


class StoredNumber(NamedTuple):
    """One row. `account` is Meta's phone number id, or the number itself (+E.164) at Twilio; `business` is the WABA id
    or the account SID. `secrets` is sealed JSON (`app.core.numbers.Secrets`); `verified_us` is None until the provider
    has confirmed that the organisation may use it.
    """

    id: str
    provider: str
    account: str
    business: str
    phone: str
    name: str
    bot_id: str | None
    secrets: str
    verify_digest: str
    state: str
    error: str
    verified_us: int | None
    checked_us: int | None
    autoreply: bool
    #: Messages a second that the provider takes from it.
    per_second: int
    simulated: bool
    created_us: int
    updated_us: int


_COLUMNS: Final = (
    "id, provider, account, business, phone, name, bot_id, secrets, verify_digest, state, error, verified_at, "
    "checked_at, autoreply, per_second, simulated, created_at, updated_at"
)


def insert_number(db: Transaction, tenant_id: str, number: StoredNumber) -> None:
    places = ", ".join("?" * (1 + len(number)))
    db.do(f"INSERT INTO numbers (tenant_id, {_COLUMNS}) VALUES ({places})", tenant_id, *_values(number))


def update_number(db: Transaction, tenant_id: str, number: StoredNumber) -> None:
    """Write all of it that may change; its pace is left alone."""
    names = [name for name in _COLUMNS.split(", ") if name not in ("id", "created_at")]
    row = dict(zip(_COLUMNS.split(", "), _values(number), strict=True))
    db.do(
        f"UPDATE numbers SET {', '.join(f'{name} = ?' for name in names)} WHERE tenant_id = ? AND id = ?",
        *(row[name] for name in names),
        *(tenant_id, number.id),
    )


def find_number(db: Transaction, tenant_id: str, number_id: str) -> StoredNumber | None:
    return _number(db.one(f"SELECT {_COLUMNS} FROM numbers WHERE tenant_id = ? AND id = ?", tenant_id, number_id))


def find_account(db: Transaction, tenant_id: str, provider: str, account: str) -> StoredNumber | None:
    sql = f"SELECT {_COLUMNS} FROM numbers WHERE tenant_id = ? AND provider = ? AND account = ?"
    return _number(db.one(sql, tenant_id, provider, account))


def list_numbers(db: Transaction, tenant_id: str) -> list[StoredNumber]:
    """Oldest first."""
    rows = db.all(f"SELECT {_COLUMNS} FROM numbers WHERE tenant_id = ? ORDER BY created_at, id", tenant_id)
    return [number for row in rows if (number := _number(row)) is not None]


def delete_number(db: Transaction, tenant_id: str, number_id: str) -> bool:
    """Only one that nobody has written to; others are emptied instead, since their conversations name them."""
    return db.run("DELETE FROM numbers WHERE tenant_id = ? AND id = ?", tenant_id, number_id) > 0


def whose(db: Transaction, provider: str, account: str) -> tuple[str, StoredNumber] | None:
    """(tenant, number) that messages for this account belong to: the one that the provider has confirmed."""
    sql = f"SELECT tenant_id, {_COLUMNS} FROM numbers WHERE provider = ? AND account = ? AND verified_at IS NOT NULL"
    return _owned(db.one(sql, provider, account))


def whose_id(db: Transaction, number_id: str) -> tuple[str, StoredNumber] | None:
    """(tenant, number) of the id in a webhook's URL."""
    return _owned(db.one(f"SELECT tenant_id, {_COLUMNS} FROM numbers WHERE id = ?", number_id))


def _owned(row: tuple[object, ...] | None) -> tuple[str, StoredNumber] | None:
    number = None if row is None else _number(row[1:])
    return None if row is None or number is None else (str(row[0]), number)


def _number(row: tuple[object, ...] | None) -> StoredNumber | None:
    if row is None:
        return None
    number = StoredNumber(*row)  # type: ignore[arg-type]  # as the columns say
    return number._replace(autoreply=bool(number.autoreply), simulated=bool(number.simulated))


def _values(number: StoredNumber) -> tuple[object, ...]:
    return tuple(int(value) if isinstance(value, bool) else value for value in number)
