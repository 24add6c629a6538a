"""Acme as a file to seed tenants from, and looks at the database that it was seeded into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from app.config import Settings
from app.main import open_storage
from app.storage import ledger
from app.storage.database import EVERY_TENANT, Job, Row, Transaction

SECRET = "a secret for the tests of seeds"
VALUE = "cm_" + "a1B2" * 10
DAY_US = 86_400_000_000
KEY_VERSION = "SELECT version FROM api_keys WHERE name = 'server'"
ACME = """
[[tenants]]
name = "Acme"
plan = "starter"
monthly_budget = "500"

[[tenants.members]]
email = "Jo@Acme.example"
role = "owner"
password = "a long sentence"

[[tenants.members]]
email = "al@acme.example"
role = "agent"

[[tenants.keys]]
name = "server"
permissions = ["llm", "stt"]
scopes = "usage:read"
allowed_models = ["kimi-k2.6", "local/mine"]
allowed_search_providers = ["exa"]
rpm = 120
budget = 50
expires_in_days = 90

[[tenants.keys]]
name = "fixed"
key = "VALUE"

[[tenants.grants]]
ref = "pilot"
amount = "250.5"
note = "Pilot"
""".replace("VALUE", VALUE)

Write = Callable[..., Path]


def ask(settings: Settings, job: Job[Any]) -> Any:
    async def read() -> Any:
        async with open_storage(settings) as db:
            return await db.read(EVERY_TENANT, job)

    return trio.run(read)


def rows(settings: Settings, sql: str) -> Any:
    return ask(settings, lambda db: db.all(sql))


def everything(db: Transaction) -> list[Row]:
    tables = ("tenants", "users", "api_keys", "ledger_entries")
    return [row for table in tables for row in db.all(f"SELECT * FROM {table}")]  # noqa: S608 - names of the schema


def books_balance(settings: Settings) -> bool:
    return not ask(settings, ledger.broken_tenants)


def replaced(old: str, new: str) -> str:
    assert old in ACME
    return ACME.replace(old, new, 1)
