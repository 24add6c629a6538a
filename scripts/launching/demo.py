"""The demo tenant of demo_tenants.toml, with a key and a password that work at every start."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Final

from app.core.errors import Problem
from app.core.identity import Clock, is_key, key_digest, new_key, new_uuid, now_us
from app.storage import keys, ledger, members, tenants
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.keys import KeySettings
from app.usecases.passwords import Passwords
from scripts.launching.directory import DataDirectory
from scripts.seeding.target import Target
from scripts.seeding.tenants import Key, read_tenants
from scripts.seeding.write import hash_password, write_tenants

FILE: Final = Path(__file__).resolve().parents[1] / "demo_tenants.toml"
KEY_NAME: Final = "demo"
#: It is the owner's, and what the launcher makes and connects the demo's bots with.
SCOPES: Final = "*"


@dataclass(frozen=True, slots=True)
class Demo:
    """Who may call, and what is left to spend. `admin_password` is None when the admin has another one by now."""

    tenant_id: str
    api_key: str
    admin_email: str
    admin_password: str | None
    credits_ucr: int


async def open_demo(db: Database, secret: bytes, directory: DataDirectory, clock: Clock = now_us) -> Demo:
    """The demo as the directory remembers it; what is lost, or works no more, is made anew under a free name.

    Raises SeedError when the tenant cannot be written.
    """
    known = directory.demo()
    api_key, password = str(known.get("api_key", "")), str(known.get("admin_password", ""))
    tenant = read_tenants(FILE)[0]
    owner = tenant.members[0]
    forgotten = not password and await db.read(EVERY_TENANT, lambda t: tenants.knows_email(t, owner.email))
    if not (password and await _works(db, secret, api_key, clock)):
        name, api_key = await db.read(EVERY_TENANT, lambda t: _free_key(t, tenant.name, secret, api_key))
        password = password or secrets.token_urlsafe(15)
        # Remembered before it is written, so that no interruption can lose it.
        directory.remember_demo({"api_key": api_key, "admin_email": owner.email, "admin_password": password})
        tenant_id = await db.read(EVERY_TENANT, lambda t: tenants.find_tenant(t, tenant.name))
        if tenant_id is None:
            admins, key = (replace(owner, password=password),), Key(f"{KEY_NAME} key", name, api_key, scopes=SCOPES)
            await write_tenants(Target(db), [replace(tenant, members=admins, keys=(key,))], secret, clock)
        else:  # the rest belongs to the organisation by now: its plan, its budget, its owner
            await _add_key(db, secret, tenant_id, name, api_key, clock())
    principal = await db.read(EVERY_TENANT, lambda t: keys.find_principal(t, key_digest(secret, api_key), clock()))
    if forgotten:
        digest = await hash_password(password)
        await db.write(EVERY_TENANT, lambda t: tenants.set_password(t, principal.tenant_id, owner.email, digest))
    is_right = forgotten or await _is_password(db, principal.tenant_id, owner.email, password)
    balance, held = await db.read(EVERY_TENANT, lambda t: ledger.balance(t, principal.tenant_id))
    return Demo(principal.tenant_id, api_key, owner.email, password if is_right else None, balance - held)


async def _add_key(db: Database, secret: bytes, tenant_id: str, name: str, api_key: str, at_us: int) -> None:
    key_id, settings = new_uuid(at_us), KeySettings(name=name, scopes=SCOPES)
    await db.write(tenant_id, lambda t: keys.insert_key(t, tenant_id, key_id, secret, api_key, settings, at_us))


async def _is_password(db: Database, tenant_id: str, email: str, password: str) -> bool:
    found = await db.read(tenant_id, lambda t: members.find_by_email(t, email))
    return found is not None and (await Passwords().verify(found[1].password_hash, password)).is_right


async def _works(db: Database, secret: bytes, api_key: str, clock: Clock) -> bool:
    """False for a key of an older version, too: it had no scopes."""
    try:
        found = await db.read(EVERY_TENANT, lambda t: keys.find_principal(t, key_digest(secret, api_key), clock()))
    except Problem:
        return False
    return SCOPES in found.scopes


def _free_key(db: Transaction, tenant: str, secret: bytes, api_key: str) -> tuple[str, str]:
    """A name that the tenant has no key of, and a key for it: the remembered one unless the database has it already."""
    if not is_key(api_key) or keys.knows_digest(db, key_digest(secret, api_key)):
        api_key = new_key()
    tenant_id = tenants.find_tenant(db, tenant)
    names = (KEY_NAME if number == 1 else f"{KEY_NAME} {number}" for number in count(1))
    free = (name for name in names if tenant_id is None or keys.find_key(db, tenant_id, name) is None)
    return next(free), api_key
