"""What a member does with their own account: look, change it, see where they are logged in, log out elsewhere."""

from __future__ import annotations

from app.core.accounts import Account, ProfileChange, SessionInfo, SessionList, read_name, read_phone
from app.core.errors import Problem
from app.core.identity import Visitor
from app.core.passwords import check_password
from app.core.times import iso_time
from app.storage import members, sessions
from app.storage.database import Transaction
from app.storage.members import StoredMember
from app.usecases.accounts import Doors, account_view


class Profiles:
    """Members by their sessions."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._db = doors.db

    async def show(self, visitor: Visitor) -> Account:
        """Raises Problem 401 when the member was removed a moment ago."""

        def read(db: Transaction) -> Account:
            return account_view(members.read_tenant(db, visitor.tenant_id), _self(db, visitor))

        return await self._db.read(visitor.tenant_id, read)

    async def change(self, visitor: Visitor, change: ProfileChange, address: str) -> Account:
        """A new password ends all other sessions. Raises Problem 400, 409 when it was changed elsewhere, 429."""
        full_name = None if change.full_name is None else read_name(change.full_name, "full_name")
        phone_number = None if change.phone_number is None else read_phone(change.phone_number)
        known, renewed = await self._new_password(visitor, change, address)
        at = self._doors.clock()

        def write(db: Transaction) -> Account:
            before = _self(db, visitor)
            after = before._replace(
                full_name=before.full_name if full_name is None else full_name,
                phone_number=before.phone_number if phone_number is None else phone_number,
                updated_us=at,
            )
            if renewed:
                if before.password_hash != known:
                    raise Problem("conflict", "The password has just been changed elsewhere. Try again.", "password")
                after = after._replace(password_hash=renewed)
                sessions.close_sessions(db, visitor.tenant_id, visitor.user_id, but=visitor.session_id)
            members.update_member(db, visitor.tenant_id, after)
            return account_view(members.read_tenant(db, visitor.tenant_id), after)

        return await self._db.write(visitor.tenant_id, write)

    async def _new_password(self, visitor: Visitor, change: ProfileChange, address: str) -> tuple[str, str]:
        """(hash of the password until now, of the new one), both "" when there is none. Raises Problem 400, 429."""
        if change.password is None:
            return "", ""
        if change.current_password is None:
            raise Problem(
                "missing_required_parameter", "Send current_password with a new password.", "current_password"
            )
        member = await self._db.read(visitor.tenant_id, lambda db: _self(db, visitor))
        await self._doors.throttle.admit(address, member.email)
        check_password(change.password, member.email)
        verdict = await self._doors.passwords.verify(member.password_hash, change.current_password)
        if not verdict.is_right:
            raise Problem("invalid_value", "current_password is not your password.", "current_password")
        return member.password_hash, await self._doors.passwords.hash(change.password)

    async def sessions(self, visitor: Visitor) -> SessionList:
        """Where the member is logged in, the newest first."""
        at = self._doors.clock()
        tenant_id, user_id = visitor.tenant_id, visitor.user_id
        found = await self._db.read(tenant_id, lambda db: sessions.list_sessions(db, tenant_id, user_id, at))
        return SessionList(
            [
                SessionInfo(
                    id=each.id,
                    client=each.client,
                    address=each.address,
                    created_at=iso_time(each.created_us),
                    last_seen_at=iso_time(each.seen_us),
                    expires_at=iso_time(each.expires_us),
                    current=each.id == visitor.session_id,
                )
                for each in found
            ]
        )

    async def close_session(self, visitor: Visitor, session_id: str) -> None:
        """Log out in one place. Raises Problem 404; another member's session is answered like a missing one."""
        tenant_id, user_id = visitor.tenant_id, visitor.user_id
        if not await self._db.write(tenant_id, lambda db: sessions.close_session(db, tenant_id, user_id, session_id)):
            raise Problem("not_found", "You have no session with this id.")

    async def close_others(self, visitor: Visitor) -> None:
        """Log out everywhere else."""
        tenant_id, user_id, here = visitor.tenant_id, visitor.user_id, visitor.session_id
        await self._db.write(tenant_id, lambda db: sessions.close_sessions(db, tenant_id, user_id, but=here))


def _self(db: Transaction, visitor: Visitor) -> StoredMember:
    member = members.find_member(db, visitor.tenant_id, visitor.user_id)
    if member is None:
        raise Problem("token_expired", "This session is over. Log in again.")
    return member
