"""What a seed file says, checked: tenants with their members, keys and grants, or every fault at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal

from app.core.identity import is_key
from app.core.key_lists import PERMISSIONS, SCOPES
from app.core.money import ucr_from_credits
from catalog.documents import Document, Fault
from catalog.models import SEARCH_PROVIDERS
from scripts.seeding.files import Draft, read_drafts
from scripts.seeding.target import SeedError

Role = Literal["owner", "admin", "agent"]
ROLES: Final[tuple[Role, ...]] = ("owner", "admin", "agent")
LONGEST_EXPIRY_DAYS: Final = 365
LARGEST_RPM: Final = 1_000_000
SHORTEST_PASSWORD: Final = 8
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_CREDITS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class Member:
    """`entry` is where it stands in the file; without a password one is made."""

    entry: str
    email: str
    full_name: str
    role: Role
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """What a key may do, as comma-separated lists; without a `value` one is made."""

    entry: str
    name: str
    value: str | None = None
    permissions: str = "*"
    scopes: str = ""
    allowed_models: str = "*"
    allowed_domains: str = "*"
    allowed_search_providers: str = "*"
    rpm: int | None = None
    budget_ucr: int | None = None
    expires_in_days: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Credits that are given once for each `ref`."""

    entry: str
    ref: str
    amount_ucr: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tenant:
    """`source` is the file's name."""

    source: str
    entry: str
    name: str
    plan: str
    budget_ucr: int | None
    members: tuple[Member, ...]
    keys: tuple[Key, ...]
    grants: tuple[Grant, ...]


def read_tenants(path: Path) -> list[Tenant]:
    """The tenants of a TOML, JSON or CSV file. Raises SeedError with every fault found."""
    faults: list[Fault] = []
    drafts = read_drafts(path, faults)
    tenants = [_tenant(draft) for draft in drafts]
    if not drafts and not faults:
        faults.append(Fault(path.name, "-", "tenants", "is missing or empty; write at least one tenant"))
    _once(faults, path.name, "name", ((tenant.entry, tenant.name) for tenant in tenants))
    _once(faults, path.name, "email", ((m.entry, m.email) for tenant in tenants for m in tenant.members))
    _once(faults, path.name, "key", ((k.entry, k.value) for tenant in tenants for k in tenant.keys))
    for tenant in tenants:
        _once(faults, path.name, "name", ((key.entry, key.name) for key in tenant.keys))
        _once(faults, path.name, "ref", ((grant.entry, grant.ref) for grant in tenant.grants))
        owners = [member.entry for member in tenant.members if member.role == "owner"]
        faults += [Fault(path.name, entry, "role", f"is owner as in {owners[0]}; keep one") for entry in owners[1:]]
    if faults:
        raise SeedError(faults)
    return tenants


def _tenant(draft: Draft) -> Tenant:
    document = draft.tenant
    tenant = Tenant(
        source=document.source,
        entry=document.entry,
        name=document.text("name", "Acme"),
        plan=document.text("plan", "starter"),
        budget_ucr=_credits(document, "monthly_budget"),
        members=tuple(_member(each) for each in draft.members),
        keys=tuple(_key(each) for each in draft.keys),
        grants=tuple(_grant(each) for each in draft.grants),
    )
    document.close()
    return tenant


def _member(document: Document) -> Member:
    email = document.text("email", "jo@acme.example").casefold()
    if email and not _EMAIL.fullmatch(email):
        document.fault("email", f"is {email!r}; write an address such as jo@acme.example")
    password = document.optional_text("password", "a long sentence")
    if password and len(password) < SHORTEST_PASSWORD:
        document.fault("password", f"is too short; use at least {SHORTEST_PASSWORD} characters, or leave it out")
    full_name = document.optional_text("full_name", "Jo Doe") or ""
    member = Member(document.entry, email, full_name, document.choice("role", ROLES) or "agent", password)
    document.close()
    return member


def _key(document: Document) -> Key:
    value = document.optional_text("key", "cm_...")
    if value and not is_key(value):
        document.fault("key", "has not the shape of a key; write cm_ and 40 letters or digits, or leave it out")
    key = Key(
        entry=document.entry,
        name=document.text("name", "server"),
        value=value,
        permissions=_words(document, "permissions", "*", ("*", *PERMISSIONS)),
        scopes=_words(document, "scopes", "", ("*", *SCOPES)),
        allowed_models=_words(document, "allowed_models", "*"),
        allowed_domains=_words(document, "allowed_domains", "*"),
        allowed_search_providers=_words(document, "allowed_search_providers", "*", ("*", *SEARCH_PROVIDERS)),
        rpm=_whole(document, "rpm", LARGEST_RPM),
        budget_ucr=_credits(document, "budget"),
        expires_in_days=_whole(document, "expires_in_days", LONGEST_EXPIRY_DAYS),
    )
    document.close()
    return key


def _grant(document: Document) -> Grant:
    amount_ucr = _credits(document, "amount")
    if not amount_ucr and (amount_ucr == 0 or not document.has("amount")):
        document.fault("amount", 'is missing or 0; write credits, such as "250.5"')
    note = document.optional_text("note", "pilot") or ""
    grant = Grant(document.entry, document.text("ref", "pilot-2026"), amount_ucr or 0, note)
    document.close()
    return grant


def _credits(document: Document, key: str) -> int | None:
    """Micro-credits, None when absent or wrong."""
    value = document.get(key)
    if value is None:
        return None
    if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        text = f"{value:f}" if isinstance(value, Decimal) else str(value)
        if _CREDITS.fullmatch(text):
            return ucr_from_credits(text)
    document.fault(key, f'is {value!r}; write credits below 10^9 with at most 6 decimal places, such as "250.5"')
    return None


def _whole(document: Document, key: str, most: int) -> int | None:
    """A whole number from 1 to `most`, None when absent."""
    if document.get(key) is None:
        return None
    number = document.whole(key, 1)
    if number > most:
        document.fault(key, f"is {number}; write at most {most}")
    return number


def _words(document: Document, key: str, default: str, known: Sequence[str] | None = None) -> str:
    """A list of words, or text with commas or blanks between them, as comma-separated text."""
    value = document.get(key)
    if value is None:
        return default
    words = re.split(r"[,\s]+", value.strip(" ,")) if isinstance(value, str) else list(document.texts(key))
    for word in words:
        if known is not None and word and word not in known:
            document.fault(key, f"has {word!r}; use {', '.join(known)}")
    return ",".join(filter(None, words))


def _once(faults: list[Fault], source: str, key: str, values: Iterable[tuple[str, str | None]]) -> None:
    """Every value may stand in one entry only; absent ones do not count."""
    first: dict[str, str] = {}
    for entry, value in values:
        if value and value in first:
            faults.append(Fault(source, entry, key, f"is that of {first[value]} too; every one needs its own"))
        elif value:
            first[value] = entry
