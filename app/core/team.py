"""The team as the platform API takes and shows it (spec.md section 16, roles): who may do what to whom."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.core.accounts import Email, FullName, PhoneNumber, User
from app.core.chat_fields import Body, Wire
from app.core.errors import Problem
from app.core.identity import Role
from app.core.times import Cursor, PageSize


class NewMember(Body, frozen=True):
    """The body of POST /api/v1/users."""

    email: Email
    full_name: FullName
    role: Literal["admin", "agent"]


class MemberChange(Body, frozen=True):
    """The body of PUT /api/v1/users/{id}: what is left out stays as it is."""

    full_name: FullName | None = None
    phone_number: PhoneNumber | None = None
    is_active: Annotated[bool | None, Meta(description="false ends all of the member's sessions at once")] = None


class RoleChange(Body, frozen=True):
    """The body of PATCH /api/v1/users/{id}/role."""

    role: Annotated[Role, Meta(description="`owner` hands the organisation over: you become an admin")]


class MemberQuery(Wire, frozen=True):
    limit: PageSize = 50
    before: Cursor | None = None


class UserPage(msgspec.Struct, frozen=True):
    data: list[User]
    next_cursor: str | None


class Invitation(msgspec.Struct, frozen=True):
    """What lets a new member in, once. Nobody can read it again."""

    token: str
    url: Annotated[str | None, Meta(description="the dashboard's page; null where no dashboard is set")]
    expires_at: str


class Invited(msgspec.Struct, frozen=True):
    user: User
    invitation: Invitation


def check_edit(actor_id: str, target_id: str, target_role: Role, change: MemberChange) -> None:
    """Raises Problem 403: nobody else edits the owner, and nobody switches themselves off."""
    if target_role == "owner" and actor_id != target_id:
        raise _refused("Only the owner edits the owner.")
    if target_id == actor_id and change.is_active is False:
        raise _refused("Nobody deactivates themselves: ask another admin.")


def check_removal(actor_id: str, target_id: str, target_role: Role) -> None:
    """Raises Problem 403 for the owner, and for oneself."""
    if target_role == "owner":
        raise _refused("The owner cannot be removed: hand the organisation over first, with PATCH /users/{id}/role.")
    if target_id == actor_id:
        raise _refused("Nobody removes themselves: ask another admin.")


def check_role_change(actor_id: str, target_id: str) -> None:
    """Raises Problem 403 for oneself."""
    if target_id == actor_id:
        raise _refused("Nobody changes their own role: make somebody else the owner, and you become an admin.")


def check_room(members: int, limit: int | None) -> None:
    """Whether one more fits into the plan, invited ones counted. Raises Problem 403."""
    if limit is not None and members >= limit:
        raise Problem("permission_denied", f"Your plan has room for {limit} members. Remove one, or upgrade the plan.")


def _refused(message: str) -> Problem:
    return Problem("role_required", message)
