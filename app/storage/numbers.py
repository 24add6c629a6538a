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


def has_contacts(db: Transaction, tenant_id: str, number_id: str) -> bool:
    """Whether anybody has ever written to it, or been written to."""
    sql = "SELECT 1 FROM contacts WHERE tenant_id = ? AND number_id = ? LIMIT 1"
    return db.one(sql, tenant_id, number_id) is not None


def confirm(db: Transaction, tenant_id: str, number: StoredNumber, at_us: int, *, proven: bool = False) -> bool:
    """The provider has confirmed `number`, as it is now; False when it has changed since, or is another's already.

    `proven`: it has also said that the number belongs to its business account. Belongs into the scope of all tenants,
    since it looks whether another has it.
    """
    changed = db.run(
        "UPDATE numbers SET state = 'connected', error = ?, phone = ?, name = ?, per_second = ?, proven_business = ?, "
        "verified_at = COALESCE(verified_at, ?), checked_at = ?, updated_at = ? "
        "WHERE tenant_id = ? AND id = ? AND account = ? AND business = ? AND secrets = ? AND NOT EXISTS ("
        "SELECT 1 FROM numbers other WHERE other.provider = numbers.provider AND other.account = numbers.account "
        "AND (numbers.provider <> 'twilio' OR other.business = numbers.business) "
        "AND other.verified_at IS NOT NULL AND other.tenant_id <> numbers.tenant_id)",
        *(number.error, number.phone, number.name, number.per_second, number.business if proven else ""),
        *(at_us, at_us, at_us),
        *(tenant_id, number.id, number.account, number.business, number.secrets),
    )
    return changed > 0


def refuse(db: Transaction, tenant_id: str, number: StoredNumber, error: str, at_us: int) -> None:
    """The provider does not take the secrets that it was asked with."""
    db.do(
        "UPDATE numbers SET state = 'error', error = ?, checked_at = ?, updated_at = ? "
        "WHERE tenant_id = ? AND id = ? AND secrets = ?",
        *(error, at_us, at_us, tenant_id, number.id, number.secrets),
    )


def link_account(db: Transaction, tenant_id: str, account: str, bot_id: str, at_us: int) -> bool:
    """Let the bot answer at the number of this account; False when no such number is connected."""
    sql = "UPDATE numbers SET bot_id = ?, updated_at = ? WHERE tenant_id = ? AND account = ? AND secrets <> ''"
    return db.run(sql, bot_id, at_us, tenant_id, account) > 0


def unlink_bot(db: Transaction, tenant_id: str, bot_id: str, at_us: int, account: str | None = None) -> None:
    """Let the bot answer at none of its numbers any more, or at this one."""
    one = "" if account is None else " AND account = ?"
    db.do(
        f"UPDATE numbers SET bot_id = NULL, updated_at = ? WHERE tenant_id = ? AND bot_id = ?{one}",
        *(at_us, tenant_id, bot_id, *(() if account is None else (account,))),
    )


def numbers_of_bot(db: Transaction, tenant_id: str, bot_id: str) -> list[StoredNumber]:
    """Where the bot answers, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM numbers WHERE tenant_id = ? AND bot_id = ? ORDER BY created_at, id"
    return [number for row in db.all(sql, tenant_id, bot_id) if (number := _number(row)) is not None]


def whose(db: Transaction, provider: str, account: str, business: str) -> tuple[str, StoredNumber] | None:
    """(tenant, number) that messages for this account belong to: the one that the provider has confirmed.

    At Twilio the account SID (`business`) is a part of the name; at Meta it does not count.
    """
    sql = (
        f"SELECT tenant_id, {_COLUMNS} FROM numbers WHERE provider = ? AND account = ? "
        "AND (provider <> 'twilio' OR business = ?) AND verified_at IS NOT NULL"
    )
    return _owned(db.one(sql, provider, account, business))


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


def whose_business(db: Transaction, provider: str, business: str) -> tuple[str, StoredNumber] | None:
    """(tenant, number) for news of a whole business account: the first number that the provider says belongs to it.

    Whoever only names an account hears nothing of it.
    """
    sql = (
        f"SELECT tenant_id, {_COLUMNS} FROM numbers WHERE provider = ? AND business = ? AND business <> '' "
        "AND proven_business = business AND verified_at IS NOT NULL ORDER BY created_at, id LIMIT 1"
    )
    return _owned(db.one(sql, provider, business))


def knows_verify_digest(db: Transaction, digest: str) -> bool:
    """Whether some number's verify token has this digest."""
    return db.one("SELECT 1 FROM numbers WHERE verify_digest = ? AND verify_digest <> ''", digest) is not None
