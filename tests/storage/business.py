"""A business to move: tenants with members, keys, grants and thousands of calls, and all of its rows for comparing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from app.core.identity import Principal
from app.core.limits import Rate
from app.storage import budgets, images, keys, ledger, responses, tenants, throttles
from app.storage.database import Row, Transaction
from app.storage.keys import KeySettings
from app.storage.ledger import Closing
from app.storage.migrations import migrate_job
from app.storage.responses import StoredResponse
from app.usecases import models
from catalog.catalog import Catalog
from tests.databases import elsewhere, open_view
from tests.storage.furnishing import furnish_platform
from tests.storage.making import DAY_0, SECRET, make_image, make_key, make_tenant, open_call, read_key

#: As a client or a provider may have written them.
WORDS: Final = ("plain", "हिन्दी और 🙂", "a 'quoted' \"name\"", "tab\tand\nline", "back\\slash {1,2} NULL", "")
ENDINGS: Final = (
    Closing("posted", "completed", 60, "provider_usage", "B5", '{"text": "' + WORDS[1] + '"}', DAY_0),
    Closing("posted", "cancelled", 7, "tokenizer_estimate", "B8", "{}", DAY_0 + 1),
    Closing("voided", "failed", 0, "none", "B6", WORDS[4], DAY_0 + 3),
    Closing("expired", "interrupted", 0, "none", "B13", "", DAY_0 + 4),
)
#: More than there is.
TOO_DEAR: Final = Closing("posted", "completed", 10**12, "usage_snapshot", "B5", "{}", DAY_0 + 2)


@dataclass(frozen=True, slots=True)
class Business:
    """Where it is, and a live key of each tenant with what it may do."""

    url: str
    principals: tuple[Principal, ...]

    @property
    def path(self) -> Path:
        return Path(self.url.removeprefix("sqlite:///"))


def make_business(url: str, *, names: Sequence[str] = ("Acme", "Bazaar", "Chai & Co"), calls: int = 30) -> Business:
    """A migrated database with the catalog, and for each tenant so many calls, ended in every way there is."""
    return elsewhere(url, partial(_make, url, names, calls))


def _make(url: str, names: Sequence[str], calls: int, db: Transaction) -> Business:
    migrate_job(db)
    models.seed(db, Catalog.load())
    db.run("INSERT INTO installation (name, value) VALUES ('greeting', ?)", WORDS[1])
    throttles.take(db, {"address 127.0.0.1": Rate(10)}, DAY_0)
    return Business(url, add_tenants(db, names, calls))


def add_tenants(db: Transaction, names: Sequence[str], calls: int) -> tuple[Principal, ...]:
    """Tenants of these names with all that a tenant may have."""
    chance = random.Random(7)
    return tuple(_make_tenant(db, name, calls, chance) for name in names)


def _make_tenant(db: Transaction, name: str, calls: int, chance: random.Random) -> Principal:
    tenant_id = make_tenant(db, name, credit=10**6 + calls * 200)
    for at, role in enumerate(("agent", "admin", "owner")):  # by id the owner comes last
        at_us = DAY_0 + at * 1000
        tenants.upsert_member(db, tenant_id, f"{role}@{name}", chance.choice(WORDS), role, "$argon2id$x", at_us)
    revoked = make_key(db, tenant_id, "revoked", rpm=60, budget_ucr=10**9, expires_us=DAY_0 + 10**12)
    principal = read_key(db, make_key(db, tenant_id, "main", allowed_models="kimi-k2.6,auto"))
    for number in range(calls):
        call_id = f"chatcmpl-{chance.getrandbits(64):016x}"
        open_call(db, principal if number % 3 else read_key(db, revoked), call_id)
        ending = TOO_DEAR if number == calls - 1 else ENDINGS[number % len(ENDINGS)]
        ledger.end(db, tenant_id, call_id, ending)
    keys.revoke_key(db, tenant_id, str(read_key(db, revoked).key_id))
    make_key(db, tenant_id, "revoked")
    budget = budgets.read_budget(db, tenant_id)
    budgets.write_budget(db, tenant_id, budget._replace(alerts_enabled=False, low_balance_ucr=1))
    responses.store(
        db, tenant_id, StoredResponse(f"resp_{name}", DAY_0, DAY_0 + 10**12, None, WORDS[1], WORDS[4], "eJw=")
    )
    furnish_platform(db, tenant_id)
    images.store(db, tenant_id, make_image(f"img_{name}"))
    ledger.credit(db, tenant_id, "purchase", 500 + calls * 100, "rest", DAY_0, WORDS[2])
    return principal


def add_key(db: Transaction, tenant_id: str, name: str) -> Principal:
    return read_key(db, keys.create_key(db, tenant_id, SECRET, KeySettings(name), DAY_0)[1])


def table_names(db: Transaction) -> list[str]:
    """Every table that there is, whoever made it."""
    if db.engine == "sqlite":
        sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*' ORDER BY 1"
    else:
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
    return [row[0] for row in db.all(sql)]


def all_rows(url: str) -> dict[str, list[Row]]:
    """Everything but the account of the schema, by table."""
    with open_view(url) as db:
        names = [name for name in table_names(db) if name != "schema_steps"]
        return {name: sorted(db.all(f"SELECT * FROM {name}"), key=repr) for name in names}  # noqa: S608


def one(url: str, sql: str, *values: Any) -> Any:
    """The one value of a query."""
    with open_view(url) as db:
        (row,) = db.all(sql, *values)
        return row[0]
