"""Connected WhatsApp numbers as the platform API takes and shows them (spec.md section 15): bounds, masks, what stays.

A field means the same in a number and in the older settings, whose forms are at the end.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.core.chat_fields import Body
from app.core.errors import Problem
from app.core.numbers import Secrets, mask

Provider = Literal["meta", "twilio"]
State = Literal["unchecked", "connected", "error"]
PhoneNumberId = Annotated[
    str,
    Meta(pattern=r"^[0-9]{1,32}\Z", description="of Meta: the id of the number, not the number", examples=["1065403"]),
]
WabaId = Annotated[str, Meta(pattern=r"^[0-9]{0,32}\Z", description="of Meta: the WhatsApp business account")]
AccountSid = Annotated[str, Meta(pattern=r"^AC[0-9A-Za-z]{1,64}\Z", description="of Twilio", examples=["AC0123"])]
PhoneNumber = Annotated[
    str,
    Meta(pattern=r"^\+[1-9][0-9]{6,14}\Z", description="of Twilio: the sender, in E.164", examples=["+14155238886"]),
]
LONGEST_SECRET: Final = 1024
Secret = Annotated[
    str,
    Meta(max_length=LONGEST_SECRET, description='kept encrypted, shown masked; as it was shown, it stays; "" is none'),
]
Label = Annotated[str, Meta(max_length=255)]
PerSecond = Annotated[int, Meta(ge=1, le=1000, description="how many messages the provider takes from it")]
BotId = Annotated[str, Meta(max_length=64, description="the WhatsApp bot that answers there")]
#: What a secret may be made of: it becomes part of a header.
PRINTABLE: Final = re.compile("[!-~]*")
BULLET: Final = "\N{BULLET}"
SECRET_NAMES: Final = Secrets.__struct_fields__
#: What each provider's numbers are named and opened by; the first of them is the account.
FIELDS: Final[dict[Provider, tuple[str, ...]]] = {
    "meta": ("phone_number_id", "waba_id", "access_token", "app_secret", "old_app_secret", "verify_token"),
    "twilio": ("phone_number", "account_sid", "auth_token", "api_key_sid", "api_key_secret"),
}
NEEDED: Final[dict[Provider, tuple[str, ...]]] = {
    "meta": ("phone_number_id", "access_token"),
    "twilio": ("phone_number", "account_sid", "auth_token"),
}


class NumberChange(Body, frozen=True):
    """The body of PUT /api/v1/whatsapp/numbers/{id}: what is left out stays as it is.

    The number itself can be corrected until the provider has confirmed it. When `app_secret` changes, webhooks signed
    with the one before are taken, too, until `old_app_secret` is set to "".
    """

    phone_number_id: PhoneNumberId | UnsetType = UNSET
    waba_id: WabaId | UnsetType = UNSET
    access_token: Secret | UnsetType = UNSET
    app_secret: Secret | UnsetType = UNSET
    old_app_secret: Secret | UnsetType = UNSET
    verify_token: Secret | UnsetType = UNSET
    account_sid: AccountSid | UnsetType = UNSET
    phone_number: PhoneNumber | UnsetType = UNSET
    auth_token: Secret | UnsetType = UNSET
    api_key_sid: Secret | UnsetType = UNSET
    api_key_secret: Secret | UnsetType = UNSET
    name: Label | UnsetType = UNSET
    bot_id: BotId | UnsetType | None = UNSET
    autoreply: bool | UnsetType = UNSET
    messages_per_second: PerSecond | UnsetType = UNSET


class NewNumber(NumberChange, frozen=True, kw_only=True):
    """The body of POST /api/v1/whatsapp/numbers.

    A number of Meta's needs `phone_number_id` and `access_token`, and `app_secret` for its webhook; one of Twilio's
    needs `phone_number`, `account_sid` and `auth_token`.
    """

    provider: Provider


class Number(msgspec.Struct, frozen=True):
    """A connected number. Of the fields of the other provider and of secrets that it has none of, each is ""."""

    id: str
    tenant_id: str
    provider: Provider
    phone_number_id: str
    waba_id: str
    access_token: str
    app_secret: str
    old_app_secret: str
    verify_token: str
    account_sid: str
    phone_number: str
    auth_token: str
    api_key_sid: str
    api_key_secret: str
    name: str
    bot_id: str | None
    autoreply: bool
    messages_per_second: int
    #: `error` says why it is one.
    state: State
    error: str | None
    webhook_url: Annotated[str, Meta(description="to be entered at the provider")]
    verified_at: Annotated[str | None, Meta(description="since when the provider has confirmed that it is yours")]
    checked_at: str | None
    created_at: str
    updated_at: str


class NumberList(msgspec.Struct, frozen=True):
    data: list[Number]


class MetaSettings(Body, frozen=True):
    """The body of PUT /api/v1/settings/whatsapp: what is left out stays as it is."""

    phone_number_id: PhoneNumberId | UnsetType = UNSET
    access_token: Secret | UnsetType = UNSET
    verify_token: Secret | UnsetType = UNSET
    app_secret: Secret | UnsetType = UNSET


class TwilioSettings(Body, frozen=True):
    """The body of PUT /api/v1/settings/twilio: what is left out stays as it is."""

    account_sid: AccountSid | UnsetType = UNSET
    auth_token: Secret | UnsetType = UNSET
    phone_number: PhoneNumber | UnsetType = UNSET


class ShownMetaSettings(msgspec.Struct, frozen=True):
    """Secrets are masked; what is not set is ""."""

    phone_number_id: str = ""
    access_token: str = ""
    verify_token: str = ""
    app_secret: str = ""
    webhook_url: str = ""


class ShownTwilioSettings(msgspec.Struct, frozen=True):
    """Secrets are masked; what is not set is ""."""

    account_sid: str = ""
    auth_token: str = ""
    phone_number: str = ""
    webhook_url: str = ""


class SettingsCheck(msgspec.Struct, frozen=True):
    """What came of asking the provider."""

    status: Literal["connected", "not_configured", "error"]
    error: str | None = None


def given(change: msgspec.Struct) -> dict[str, Any]:
    """What a change names."""
    return {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}


def check_fields(provider: Provider, fields: dict[str, Any]) -> None:
    """Raises Problem 400 for a field of the other provider."""
    own = FIELDS[provider]
    for name in fields:
        if name not in own and any(name in others for others in FIELDS.values()):
            raise Problem("invalid_value", f"{name} is not a field of a number of {provider.title()}.", name)


def check_whole(provider: Provider, known: dict[str, Any]) -> None:
    """Raises Problem 400 when something is missing without which nothing can be sent."""
    for name in NEEDED[provider]:
        if not known.get(name):
            raise Problem("missing_required_parameter", f"{name} is needed for a number of {provider.title()}.", name)


def changed_secrets(stored: Secrets, fields: dict[str, Any]) -> Secrets:
    """The secrets after a change. One that comes back as it was shown stays; the app secret before a new one is kept.

    Raises Problem 400 for what cannot be a secret, a mask of another one among it.
    """
    before: dict[str, str] = msgspec.structs.asdict(stored)
    after = {
        name: before[name] if fields[name] == mask(before[name]) else _secret(name, fields[name])
        for name in SECRET_NAMES
        if name in fields
    }
    if after.get("old_app_secret", "") not in ("", stored.old_app_secret):
        raise Problem("invalid_value", 'old_app_secret can only be set to "": it follows app_secret.', "old_app_secret")
    if stored.app_secret and after.get("app_secret", stored.app_secret) not in ("", stored.app_secret):
        after["old_app_secret"] = stored.app_secret
    return msgspec.structs.replace(stored, **after)


def _secret(name: str, value: str) -> str:
    if BULLET in value:
        message = f"{name} is masked and not the one that is kept: send the whole of it, or leave it out."
        raise Problem("invalid_value", message, name)
    if not PRINTABLE.fullmatch(value):
        raise Problem("invalid_value", f"{name} may hold visible ASCII characters only, without spaces.", name)
    return value
