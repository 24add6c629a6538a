"""Tenants written once: what is there already is compared, what differs is changed, a grant is given once."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.core.identity import Clock, key_digest, new_key, new_uuid, now_us
from app.core.money import credits_from_ucr
from app.storage import keys, ledger
from app.storage import tenants as storage
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.keys import KeySettings
from app.usecases.models import load
from app.usecases.passwords import Passwords
from catalog.catalog import Catalog
from catalog.documents import CatalogError, Fault
from scripts.seeding.target import SeedError, Target
from scripts.seeding.tenants import Grant, Key, Member, Tenant

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made here: this is the only time that anybody sees it."""

    tenant: str
    tenant_id: str
    name: str
    key: str


@dataclass(slots=True)
class Report:
    """What was done, in order; `passwords` by address are those that were made here."""

    changes: list[str] = field(default_factory=list)
    unchanged: int = 0
    keys: list[NewKey] = field(default_factory=list)
    passwords: dict[str, str] = field(default_factory=dict)

    def note(self, what: str, done: str) -> None:
        if done == "unchanged":
            self.unchanged += 1
        else:
            self.changes.append(f"{what}: {done}")


async def write_tenants(target: Target, tenants: Sequence[Tenant], secret: bytes, clock: Clock = now_us) -> Report:
    """Write everything in one transaction. Raises SeedError with every conflict; nothing is kept then."""
    made: dict[str, str] = {}
    hashes = {} if target.dry_run else await _hash_new_passwords(target.db, tenants, made)
    return await target.write(
        lambda db: _Writing(db, secret, hashes, clock(), Report(passwords=dict(made))).run(tenants)
    )


async def hash_password(password: str) -> str:
    """As the gateway itself hashes it."""
    return await Passwords().hash(password)


async def _hash_new_passwords(db: Database, tenants: Sequence[Tenant], made: dict[str, str]) -> dict[str, str]:
    """Hashes by address of the members to come, which take too long for a transaction; `made` gets new passwords."""
    members = [member for tenant in tenants for member in tenant.members]
    new = await db.read(
        EVERY_TENANT, lambda t: [member for member in members if not storage.knows_email(t, member.email)]
    )
    hashes = {}
    for member in new:
        password = member.password
        if password is None:
            password = made[member.email] = secrets.token_urlsafe(15)
        hashes[member.email] = await hash_password(password)
    return hashes


class _Writing:
    """One run of the job; conflicts with what the database holds are collected, then raised together."""

    def __init__(self, db: Transaction, secret: bytes, hashes: Mapping[str, str], at_us: int, report: Report) -> None:
        self._db = db
        self._secret = secret
        self._hashes = hashes
        self._at_us = at_us
        self._report = report
        self._faults: list[Fault] = []

    def run(self, tenants: Sequence[Tenant]) -> Report:
        catalog = self._catalog(tenants[0].source)
        for tenant in tenants:
            self._check(tenant, catalog)
            if not self._faults:
                self._tenant(tenant)
        if self._faults:
            raise SeedError(self._faults)
        return self._report

    def _catalog(self, source: str) -> Catalog:
        try:
            return load(self._db)
        except CatalogError:
            message = "cannot be checked: the database has no valid catalog; run python -m scripts.seed_catalog first"
            raise SeedError([Fault(source, "-", "plan", message)]) from None

    def _check(self, tenant: Tenant, catalog: Catalog) -> None:
        if tenant.plan not in catalog.plans:
            self._fault(tenant, tenant.entry, "plan", f"is {tenant.plan!r}; write one of {', '.join(catalog.plans)}")
        for key in tenant.keys:
            for model in key.allowed_models.split(","):
                # A self-hosted or passed-through model has a slash and is in no catalog.
                if model != "*" and "/" not in model and model not in catalog.models:
                    self._fault(tenant, key.entry, "allowed_models", f"has {model!r}, which is no id of the catalog")

    def _fault(self, tenant: Tenant, entry: str, key: str, message: str) -> None:
        self._faults.append(Fault(tenant.source, entry, key, message))

    def _tenant(self, tenant: Tenant) -> None:
        tenant_id, done = storage.upsert_tenant(self._db, tenant.name, tenant.plan, tenant.budget_ucr, self._at_us)
        self._report.note(f"tenant {tenant.name}", done)
        for member in sorted(tenant.members, key=lambda member: member.role == "owner"):  # a new owner after the old
            self._member(tenant, tenant_id, member)
        for key in tenant.keys:
            self._key(tenant, tenant_id, key)
        for grant in tenant.grants:
            self._grant(tenant, tenant_id, grant)

    def _member(self, tenant: Tenant, tenant_id: str, member: Member) -> None:
        owner = storage.find_owner(self._db, tenant_id)
        if member.role == "owner" and owner not in (None, member.email):
            self._fault(tenant, member.entry, "role", f"is owner, but {owner} is; list that member with a new role")
            return
        digest = self._hashes.get(member.email, "")
        try:
            done = storage.upsert_member(
                self._db, tenant_id, member.email, member.full_name, member.role, digest, self._at_us
            )
        except ValueError:
            self._fault(tenant, member.entry, "email", f"{member.email} is a member of another organisation")
            return
        self._report.note(f"member {member.email} of {tenant.name}", done)

    def _key(self, tenant: Tenant, tenant_id: str, key: Key) -> None:
        what = f"key {key.name} of {tenant.name}"
        digest = None if key.value is None else key_digest(self._secret, key.value)
        known = keys.find_key(self._db, tenant_id, key.name)
        if known is None:
            if digest is not None and keys.knows_digest(self._db, digest):
                self._fault(tenant, key.entry, "key", "is in use under another name; use that name, or another key")
                return
            self._add_key(tenant, tenant_id, key)
            self._report.note(what, "created")
        elif digest is not None and digest != known.digest:
            self._fault(tenant, key.entry, "key", f"differs from the key {key.name!r} that exists; give it a new name")
        elif not known.is_active:
            self._report.note(f"{what} (revoked, left alone)", "unchanged")
        else:
            changed = keys.update_key(self._db, tenant_id, known.id, _settings(key, known.created_us))
            self._report.note(what, "changed" if changed else "unchanged")

    def _add_key(self, tenant: Tenant, tenant_id: str, key: Key) -> None:
        value = key.value or new_key()
        key_id = new_uuid(self._at_us)
        settings = _settings(key, self._at_us)
        keys.insert_key(self._db, tenant_id, key_id, self._secret, value, settings, self._at_us)
        if key.value is None:
            self._report.keys.append(NewKey(tenant.name, tenant_id, key.name, value))

    def _grant(self, tenant: Tenant, tenant_id: str, grant: Grant) -> None:
        given = ledger.credit(self._db, tenant_id, "grant", grant.amount_ucr, grant.ref, self._at_us, grant.note)
        amount = f"{credits_from_ucr(grant.amount_ucr):,.6f}".rstrip("0").rstrip(".")
        self._report.note(f"grant {grant.ref} of {tenant.name}", f"{amount} credits" if given else "unchanged")


def _settings(key: Key, created_us: int) -> KeySettings:
    """The key's life counts from its making, so that a second run does not prolong it."""
    days = key.expires_in_days
    return KeySettings(
        name=key.name,
        permissions=key.permissions,
        scopes=key.scopes,
        allowed_models=key.allowed_models,
        allowed_domains=key.allowed_domains,
        allowed_search_providers=key.allowed_search_providers,
        rpm=key.rpm,
        budget_ucr=key.budget_ucr,
        expires_us=None if days is None else created_us + days * DAY_US,
    )
