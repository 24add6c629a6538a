"""The team: who belongs to it, is invited, changed, switched off, removed, and who owns the organisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from app.core.accounts import User, read_email, read_name, read_phone
from app.core.errors import Problem
from app.core.identity import Role, Visitor, new_token, new_uuid
from app.core.team import (
    MemberChange,
    MemberQuery,
    NewMember,
    UserPage,
    check_edit,
    check_removal,
    check_role_change,
    check_room,
)
from app.core.times import DAY_US, Place, read_cursor, write_cursor
from app.storage import invitations, members, sessions
from app.storage.database import Transaction
from app.storage.invitations import StoredInvitation
from app.storage.members import StoredMember
from app.usecases.accounts import Doors, email_taken, user_view

INVITATION_US: Final = 7 * DAY_US


class Invited(NamedTuple):
    """A member to be, and the token that lets them in until then. It is shown once."""

    user: User
    token: str
    expires_us: int


class Team:
    """Teams of any tenant. Whoever changes one is looked at again in the transaction that does it: of two changes that
    exclude each other the second is refused."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._db = doors.db

    async def page(self, tenant_id: str, query: MemberQuery) -> UserPage:
        """Newest first."""
        after = read_cursor(query.before)
        found = await self._db.read(
            tenant_id, lambda db: members.list_members(db, tenant_id, after=after, limit=query.limit + 1)
        )
        data = found[: query.limit]
        more = len(found) > query.limit
        cursor = write_cursor(Place(data[-1].created_us, data[-1].id)) if more else None
        return UserPage([user_view(tenant_id, member) for member in data], cursor)

    async def invite(self, visitor: Visitor, new: NewMember) -> Invited:
        """Add a member who may not log in before they have accepted.

        Raises Problem 400, 403 when the plan has no room, 409 for a taken address.
        """
        tenant_id, at = visitor.tenant_id, self._doors.clock()
        full_name = read_name(new.full_name, "full_name")
        member = StoredMember(new_uuid(at), read_email(new.email), full_name, "", new.role, "", False, at, at)
        invitation = self._invitation(member.id)
        plans = self._doors.plans()

        def add(db: Transaction) -> None:
            _check_actor(db, visitor)
            check_room(members.count_members(db, tenant_id), plans[members.read_tenant(db, tenant_id).plan].members)
            if not members.insert_member(db, tenant_id, member):
                raise email_taken()
            invitation.write(db, tenant_id)

        await self._db.write(tenant_id, add)
        return Invited(user_view(tenant_id, member), invitation.token, invitation.expires_us)

    async def renew(self, visitor: Visitor, user_id: str) -> Invited:
        """A new invitation in place of the old one. Raises Problem 404, 409 for a member who has joined."""
        tenant_id = visitor.tenant_id
        invitation = self._invitation(user_id)

        def write(db: Transaction) -> StoredMember:
            _check_actor(db, visitor)
            member = _found(db, tenant_id, user_id)
            if member.has_joined:
                raise Problem("conflict", "This member has joined already.")
            invitation.write(db, tenant_id)
            return member

        member = await self._db.write(tenant_id, write)
        return Invited(user_view(tenant_id, member), invitation.token, invitation.expires_us)

    async def change(self, visitor: Visitor, user_id: str, change: MemberChange) -> User:
        """Switching off ends the member's sessions, or their invitation. Raises Problem 400, 403, 404, 409."""
        full_name = None if change.full_name is None else read_name(change.full_name, "full_name")
        phone_number = None if change.phone_number is None else read_phone(change.phone_number)

        def changed(db: Transaction, before: StoredMember) -> StoredMember:
            check_edit(visitor.user_id, before.id, before.role, change)
            if change.is_active and not before.has_joined:
                raise Problem("conflict", "This member has not joined yet: send them the invitation.", "is_active")
            if change.is_active is False:
                _shut_out(db, visitor.tenant_id, user_id)
            return before._replace(
                full_name=before.full_name if full_name is None else full_name,
                phone_number=before.phone_number if phone_number is None else phone_number,
                is_active=before.is_active if change.is_active is None else change.is_active,
            )

        return await self._update(visitor, user_id, changed)

    async def set_role(self, visitor: Visitor, user_id: str, role: Role) -> User:
        """Who is made the owner takes the organisation over: the owner until then becomes an admin at once.

        Raises Problem 403, 404, 409.
        """
        at = self._doors.clock()

        def changed(db: Transaction, before: StoredMember) -> StoredMember:
            check_role_change(visitor.user_id, before.id)
            if role == "owner":
                if not before.is_active:
                    raise Problem("conflict", "Only an active member can become the owner.")
                owner = _found(db, visitor.tenant_id, visitor.user_id)
                members.update_member(db, visitor.tenant_id, owner._replace(role="admin", updated_us=at))
            return before._replace(role=role)

        return await self._update(visitor, user_id, changed)

    async def remove(self, visitor: Visitor, user_id: str) -> None:
        """Sessions end at once, and the address is free again. Raises Problem 403, 404, 409."""
        tenant_id = visitor.tenant_id

        def write(db: Transaction) -> None:
            _check_actor(db, visitor)
            check_removal(visitor.user_id, user_id, _found(db, tenant_id, user_id).role)
            _shut_out(db, tenant_id, user_id)
            members.delete_member(db, tenant_id, user_id)

        await self._db.write(tenant_id, write)

    async def _update(
        self, visitor: Visitor, user_id: str, changed: Callable[[Transaction, StoredMember], StoredMember]
    ) -> User:
        tenant_id, at = visitor.tenant_id, self._doors.clock()

        def write(db: Transaction) -> StoredMember:
            _check_actor(db, visitor)
            member = changed(db, _found(db, tenant_id, user_id))._replace(updated_us=at)
            members.update_member(db, tenant_id, member)
            return member

        return user_view(tenant_id, await self._db.write(tenant_id, write))

    def _invitation(self, user_id: str) -> _Invitation:
        at, token = self._doors.clock(), new_token()
        stored = StoredInvitation(new_uuid(at), user_id, at, at + INVITATION_US)
        return _Invitation(token, stored, self._doors.sessions.digest(token))


class _Invitation(NamedTuple):
    """One to come."""

    token: str
    stored: StoredInvitation
    digest: str

    @property
    def expires_us(self) -> int:
        return self.stored.expires_us

    def write(self, db: Transaction, tenant_id: str) -> None:
        invitations.replace_invitation(db, tenant_id, self.stored, self.digest)


def _check_actor(db: Transaction, visitor: Visitor) -> None:
    """Whether the member who asks is still what they were when they were let in. Raises Problem 409."""
    actor = members.find_member(db, visitor.tenant_id, visitor.user_id)
    if actor is None or not actor.is_active or actor.role != visitor.role:
        raise Problem("conflict", "Your own role has just been changed. Look at the team again.")


def _found(db: Transaction, tenant_id: str, user_id: str) -> StoredMember:
    member = members.find_member(db, tenant_id, user_id)
    if member is None:
        raise Problem("not_found", "There is no member with this id.")
    return member


def _shut_out(db: Transaction, tenant_id: str, user_id: str) -> None:
    sessions.close_sessions(db, tenant_id, user_id)
    invitations.withdraw(db, tenant_id, user_id)
