"""The ways in: an organisation is founded, a member logs in, somebody who was invited joins; and the way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from app.core.accounts import Acceptance, Account, Login, Organisation, Registration, User, read_email, read_name
from app.core.errors import Problem
from app.core.identity import Clock, new_uuid, now_us
from app.core.money import UCR_PER_CREDIT
from app.core.passwords import check_password
from app.core.times import iso_time
from app.storage import invitations, ledger, members, sessions, tenants
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.members import StoredMember, StoredTenant
from app.usecases.passwords import Passwords
from app.usecases.sessions import Sessions
from app.usecases.sweeping import run_sweeps
from app.usecases.throttle import Throttle
from catalog.plans import Plan

#: What a new organisation is on.
FIRST_PLAN: Final = "free"
SIGNUP_BONUS: Final = "signup_bonus"
#: Pause before the next portion of many.
MORE_S: Final = 1.0
SWEPT_AT_ONCE: Final = 500


class Arrival(NamedTuple):
    """From where somebody comes: address and browser, and the token of a session that they had before, "" without."""

    address: str
    client: str
    token: str = ""


class Welcome(NamedTuple):
    """Who came in, and the token of their new session, which is shown once."""

    account: Account
    token: str


@dataclass(frozen=True, slots=True)
class Doors:
    """What all ways in need. `plans` gives those in force."""

    db: Database
    sessions: Sessions
    passwords: Passwords
    throttle: Throttle
    plans: Callable[[], Mapping[str, Plan]]
    open_registration: bool = True
    clock: Clock = now_us


class Accounts:
    """Every way in is throttled, and ends the session that the browser had before: nobody chooses another's session."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._db = doors.db

    async def register(self, new: Registration, arrival: Arrival) -> Welcome:
        """Found an organisation on the free plan with its owner and the signup bonus.

        Raises Problem 400, 403 when registration is closed, 409 for a taken address or name, 429.
        """
        doors = self._doors
        if not doors.open_registration:
            raise Problem("permission_denied", "Registration is closed here. Ask a member of a team to invite you.")
        await doors.throttle.admit(arrival.address)
        email = read_email(new.email)
        full_name, organisation = read_name(new.full_name, "full_name"), read_name(new.organisation, "organisation")
        check_password(new.password, email)
        await self._db.read(EVERY_TENANT, lambda db: _check_free(db, email, organisation))
        digest = await doors.passwords.hash(new.password)
        at = doors.clock()
        tenant = StoredTenant(new_uuid(at), organisation, FIRST_PLAN, "active", at)
        owner = StoredMember(new_uuid(at), email, full_name, "", "owner", digest, True, at, at)
        bonus_ucr = doors.plans()[FIRST_PLAN].signup_bonus_credits * UCR_PER_CREDIT
        opening = doors.sessions.opening(arrival.client, arrival.address)

        def found(db: Transaction) -> None:
            if not members.insert_tenant(db, tenant.id, tenant.name, tenant.plan, at):
                raise _name_taken()
            if not members.insert_member(db, tenant.id, owner):
                raise email_taken()
            if bonus_ucr:
                ledger.credit(db, tenant.id, "grant", bonus_ucr, SIGNUP_BONUS, at, "Signup bonus")
            opening.write(db, tenant.id, owner.id)

        await self._db.write(tenant.id, found)
        await self.logout(arrival.token)
        return Welcome(account_view(tenant, owner), opening.token)

    async def login(self, login: Login, arrival: Arrival) -> Welcome:
        """Raises Problem 401, the same for an unknown address and a wrong password; 403 when suspended; 429."""
        doors = self._doors
        email = read_email(login.email)
        await doors.throttle.admit(arrival.address, email)
        known = await self._db.read(EVERY_TENANT, lambda db: members.find_by_email(db, email))
        tenant_id, member = known or ("", None)
        password_hash = member.password_hash if member else ""
        verdict = await doors.passwords.verify(password_hash, login.password)
        if member is None or not verdict.is_right:
            raise _wrong()
        user_id = member.id
        opening = doors.sessions.opening(arrival.client, arrival.address)

        def enter(db: Transaction) -> Account:
            member = members.find_member(db, tenant_id, user_id)
            if member is None or member.password_hash != password_hash:  # it was changed while it was checked
                raise _wrong()
            tenant = members.read_tenant(db, tenant_id)
            _check_live(tenant, member)
            if verdict.renewed is not None:
                members.update_member(db, tenant_id, member._replace(password_hash=verdict.renewed))
            opening.write(db, tenant_id, user_id)
            return account_view(tenant, member)

        account = await self._db.write(tenant_id, enter)
        await self.logout(arrival.token)
        return Welcome(account, opening.token)

    async def accept(self, accepted: Acceptance, arrival: Arrival) -> Welcome:
        """Join with an invitation, which is used up. Raises Problem 400, 403, 404 for one that is over, 429."""
        doors = self._doors
        await doors.throttle.admit(arrival.address)
        token_digest, at = doors.sessions.digest(accepted.token), doors.clock()
        found = await self._db.read(EVERY_TENANT, lambda db: invitations.find_invited(db, token_digest, at))
        if found is None:
            raise _no_invitation()
        tenant_id, user_id = found
        invited = await self._db.read(tenant_id, lambda db: members.find_member(db, tenant_id, user_id))
        if invited is None:
            raise _no_invitation()
        full_name = invited.full_name if accepted.full_name is None else read_name(accepted.full_name, "full_name")
        check_password(accepted.password, invited.email)
        password_hash = await doors.passwords.hash(accepted.password)
        opening = doors.sessions.opening(arrival.client, arrival.address)

        def join(db: Transaction) -> Account:
            invited = members.find_member(db, tenant_id, user_id)
            if invited is None or not invitations.use_invitation(db, tenant_id, user_id, token_digest):
                raise _no_invitation()
            joined = invited._replace(full_name=full_name, password_hash=password_hash, is_active=True, updated_us=at)
            members.update_member(db, tenant_id, joined)
            tenant = members.read_tenant(db, tenant_id)
            _check_live(tenant, joined)
            opening.write(db, tenant_id, user_id)
            return account_view(tenant, joined)

        account = await self._db.write(tenant_id, join)
        await self.logout(arrival.token)
        return Welcome(account, opening.token)

    async def logout(self, token: str) -> None:
        """End the session of this token, if there is one."""
        if token:
            await self._doors.sessions.close(token)

    async def run_sweeper(self) -> None:
        """Delete what is past its time, again and again; any process may do it."""

        async def sweep() -> int:
            await self._doors.throttle.sweep()
            return await self.sweep()

        await run_sweeps("accounts", sweep, SWEPT_AT_ONCE, MORE_S)

    async def sweep(self) -> int:
        """Delete some of the sessions and invitations that are over; how many."""
        at = self._doors.clock()

        def job(db: Transaction) -> int:
            return sessions.sweep(db, at, SWEPT_AT_ONCE) + invitations.sweep(db, at, SWEPT_AT_ONCE)

        return await self._db.write(EVERY_TENANT, job, durable=False)


def account_view(tenant: StoredTenant, member: StoredMember) -> Account:
    organisation = Organisation(tenant.id, tenant.name, tenant.plan, iso_time(tenant.created_us))
    return Account(user_view(tenant.id, member), organisation)


def user_view(tenant_id: str, member: StoredMember) -> User:
    return User(
        id=member.id,
        tenant_id=tenant_id,
        email=member.email,
        full_name=member.full_name,
        phone_number=member.phone_number or None,
        role=member.role,
        is_active=member.is_active,
        created_at=iso_time(member.created_us),
        updated_at=iso_time(member.updated_us),
    )


def email_taken() -> Problem:
    return Problem("conflict", "Somebody has this e-mail address already. Log in, or use another.", "email")


def _name_taken() -> Problem:
    return Problem("conflict", "An organisation has this name already. Choose another.", "organisation")


def _check_free(db: Transaction, email: str, organisation: str) -> None:
    """What would be refused after the password was hashed is refused before; raises Problem 409."""
    if tenants.find_tenant(db, organisation) is not None:
        raise _name_taken()
    if tenants.knows_email(db, email):
        raise email_taken()


def _check_live(tenant: StoredTenant, member: StoredMember) -> None:
    """Whether somebody who has shown that they are this member may come in. Raises Problem 403."""
    if not member.is_active or tenant.status != "active":
        raise Problem("account_inactive", "This account is suspended. Contact support.")


def _wrong() -> Problem:
    return Problem("session_required", "This e-mail address and password do not belong together.")


def _no_invitation() -> Problem:
    return Problem("not_found", "This invitation is over, or never was. Ask for a new one.", "token")
