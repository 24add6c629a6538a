"""A connected number as its organisation sees it, and the forms in which it is stored. Pure but for the sealing."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.core.numbers import VERIFY_CONTEXT, Secrets, mask, secrets_context
from app.core.numbers_api import SECRET_NAMES, Number, Provider
from app.core.sealing import Sealer
from app.core.times import iso_or_none, iso_time
from app.storage.numbers import StoredNumber

#: Where each provider sends what happens on a number. Twilio forgets what is not taken at once unless told otherwise.
FRAGMENT: Final = "#rc=3&rp=all&ct=2000&rt=4000&tt=15000"
WEBHOOKS: Final[dict[str, str]] = {
    "meta": "/api/v1/webhooks/whatsapp/{}",
    "twilio": f"/api/v1/webhooks/twilio/whatsapp/{{}}{FRAGMENT}",
}
#: What stands before the account of a number that was disconnected and that conversations still name.
GONE: Final = "gone:"
#: Fields of the wire by the columns that hold them.
COLUMNS: Final[dict[Provider, dict[str, str]]] = {
    "meta": {"phone_number_id": "account", "waba_id": "business"},
    "twilio": {"phone_number": "account", "account_sid": "business"},
}
PLAIN: Final = {"name": "name", "bot_id": "bot_id", "autoreply": "autoreply", "messages_per_second": "per_second"}


def columns(provider: Provider, fields: dict[str, Any]) -> dict[str, Any]:
    """What a change says of the row itself, secrets apart."""
    names = COLUMNS[provider] | PLAIN
    found = {names[name]: value for name, value in fields.items() if name in names}
    if provider == "twilio" and "account" in found:
        found["phone"] = found["account"]
    return found


def open_secrets(sealer: Sealer, tenant_id: str, number: StoredNumber) -> Secrets:
    """None of them when they cannot be opened, as under another SECRET_KEY: then they must be entered again."""
    if not number.secrets:
        return Secrets()
    try:
        return msgspec.json.decode(sealer.open(number.secrets, secrets_context(tenant_id, number.id)), type=Secrets)
    except (ValueError, msgspec.DecodeError):
        return Secrets()


def sealed(sealer: Sealer, tenant_id: str, number: StoredNumber, secrets: Secrets) -> StoredNumber:
    """The number with these secrets."""
    token = secrets.verify_token
    return number._replace(
        secrets=sealer.seal(msgspec.json.encode(secrets), secrets_context(tenant_id, number.id)),
        verify_digest=sealer.digest(token, VERIFY_CONTEXT) if token else "",
    )


def shown(sealer: Sealer, tenant_id: str, number: StoredNumber, address: str) -> Number:
    """The number with its secrets masked; `address` is what the URL of its webhook begins with."""
    secrets = open_secrets(sealer, tenant_id, number)
    named = dict.fromkeys((name for names in COLUMNS.values() for name in names), "")
    named |= {name: getattr(number, column) for name, column in COLUMNS[provider_of(number)].items()}
    named |= {name: mask(getattr(secrets, name)) for name in SECRET_NAMES}
    if number.provider == "meta":
        named["phone_number"] = number.phone
    return Number(
        id=number.id,
        tenant_id=tenant_id,
        provider=provider_of(number),
        **named,
        name=number.name,
        bot_id=number.bot_id,
        autoreply=number.autoreply,
        messages_per_second=number.per_second,
        state=number.state,  # type: ignore[arg-type]  # the table takes no other
        error=number.error or None,
        webhook_url=webhook_url(number, address),
        verified_at=iso_or_none(number.verified_us),
        checked_at=iso_or_none(number.checked_us),
        created_at=iso_time(number.created_us),
        updated_at=iso_time(number.updated_us),
    )


def webhook_url(number: StoredNumber, address: str) -> str:
    return address + WEBHOOKS[number.provider].format(number.id)


def provider_of(number: StoredNumber) -> Provider:
    return "meta" if number.provider == "meta" else "twilio"
