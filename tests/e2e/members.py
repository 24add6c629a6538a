"""Members of the house's tenant with live sessions, as a browser would hold them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from app.core.identity import Role, now_us
from app.storage import tenants
from app.storage.database import Transaction
from app.usecases.sessions import Sessions
from tests.databases import elsewhere
from tests.house import SECRET, House


@dataclass(frozen=True, slots=True)
class Member:
    """A member and the token of one live session."""

    tenant_id: str
    user_id: str
    email: str
    token: str


def add_member(house: House, role: Role = "owner", *, tenant_id: str | None = None, email: str = "") -> Member:
    """A member of the house's customer, or of another tenant, who is logged in. The password is nobody's."""
    tenant = tenant_id or house.customer.tenant_id
    address = email or f"{role}-{secrets.token_hex(4)}@example.com"

    def write(db: Transaction) -> Member:
        tenants.upsert_member(db, tenant, address, role.title(), role, "", now_us())
        row = db.one("SELECT id FROM users WHERE tenant_id = ? AND email = ?", tenant, address)
        assert row is not None
        opening = Sessions(None, SECRET).opening("tests", "127.0.0.1")  # type: ignore[arg-type]  # only opens
        opening.write(db, tenant, row[0])
        return Member(tenant, row[0], address, opening.token)

    return elsewhere(house.settings.database_url, write)


def session_headers(house: House, member: Member) -> dict[str, str]:
    """What the member's browser sends from a page of the gateway itself."""
    return {"cookie": f"cm_session={member.token}", "origin": house.url}
