"""Accounts as the platform API takes and shows them (spec.md section 16): who joins, who logs in, where they are."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from app.core.chat_fields import Body
from app.core.errors import Problem
from app.core.identity import Role

LONGEST_EMAIL: Final = 254
Email = Annotated[
    str,
    Meta(
        max_length=LONGEST_EMAIL,
        description="an e-mail address; upper and lower case are one",
        examples=["asha@example.com"],
    ),
]
FullName = Annotated[str, Meta(min_length=1, max_length=200, examples=["Asha Rao"])]
OrganisationName = Annotated[
    str, Meta(min_length=1, max_length=100, description="no other organisation's", examples=["Asha's Lamps"])
]
PhoneNumber = Annotated[str, Meta(max_length=32, description='such as +91 98765 43210; "" for none')]
NewPassword = Annotated[
    str,
    Meta(
        min_length=10,
        max_length=256,
        description="none of the commonest, and not the e-mail address",
        examples=["a long phrase of your own"],
    ),
]
#: What was a password once may have been made under other rules.
Password = Annotated[str, Meta(min_length=1, max_length=1024)]
Token = Annotated[str, Meta(min_length=1, max_length=200)]
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_PHONE: Final = re.compile(r"\+?[0-9][0-9 ().-]{3,30}")


class Registration(Body, frozen=True):
    """The body of POST /api/v1/auth/register."""

    email: Email
    password: NewPassword
    full_name: FullName
    organisation: OrganisationName


class Login(Body, frozen=True):
    """The body of POST /api/v1/auth/login."""

    email: Email
    password: Password


class Acceptance(Body, frozen=True):
    """The body of POST /api/v1/auth/invitations/accept."""

    token: Token
    password: NewPassword
    full_name: Annotated[FullName | None, Meta(description="what is left out stays as the invitation has it")] = None


class ProfileChange(Body, frozen=True):
    """The body of PATCH /api/v1/auth/me: what is left out stays as it is."""

    full_name: FullName | None = None
    phone_number: PhoneNumber | None = None
    password: Annotated[NewPassword | None, Meta(description="ends all of your other sessions")] = None
    current_password: Annotated[Password | None, Meta(description="needed with `password`")] = None


class User(msgspec.Struct, frozen=True):
    id: str
    tenant_id: str
    email: str
    full_name: str
    phone_number: str | None
    role: Role
    is_active: bool
    created_at: str
    updated_at: str


class Organisation(msgspec.Struct, frozen=True):
    id: str
    name: str
    plan: str
    created_at: str


class Account(msgspec.Struct, frozen=True):
    """A member and the organisation that they belong to."""

    user: User
    tenant: Organisation


class SessionInfo(msgspec.Struct, frozen=True):
    """One place where the member is logged in; `client` is what the browser calls itself."""

    id: str
    client: str
    address: str
    created_at: str
    last_seen_at: str
    expires_at: str
    current: bool


class SessionList(msgspec.Struct, frozen=True):
    data: list[SessionInfo]


def read_email(text: str) -> str:
    """The address as it is kept and compared. Raises Problem 400 for what is none."""
    email = text.strip().casefold()
    if not _EMAIL.fullmatch(email) or not email.isprintable() or len(email) > LONGEST_EMAIL:
        raise Problem("invalid_value", "email must be an address such as jo@acme.example.", "email")
    return email


def read_name(text: str, param: str) -> str:
    """A name without blanks around it, and single ones in it. Raises Problem 400 when nothing readable is left."""
    name = " ".join(text.split())
    if not name or any(unicodedata.category(character) == "Cc" for character in name):
        raise Problem("invalid_value", f"{param} must have letters in it and no control characters.", param)
    return name


def read_phone(text: str) -> str:
    """A phone number as written, "" for none. Raises Problem 400 for what cannot be one."""
    phone = text.strip()
    if phone and not _PHONE.fullmatch(phone):
        raise Problem("invalid_value", "phone_number must be a number such as +91 98765 43210.", "phone_number")
    return phone
