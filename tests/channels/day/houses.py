"""The businesses of the day: three organisations, their numbers and bots, and a webhook of each that hears all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from app.core.identity import new_uuid
from app.storage import ledger, tenants, webhooks
from app.storage.database import Transaction
from app.storage.webhooks import StoredWebhook
from channels.numbers.number_views import WEBHOOKS
from scripts.simulator.whatsapp.state import Number, Provider
from tests.channels.mailroom import APP_SECRET, PUBLIC_URL, SECRETS, add_number
from tests.storage.making import DAY_0

RICH: Final = 10_000_000_000
POOR: Final = 900
META_HOOK: Final = f"{PUBLIC_URL}/api/v1/webhooks/whatsapp"
PRICE_TOOL: Final = {"name": "price", "url": "https://shop.example.com/price"}
#: The number at Twilio, the one there and the one at Meta whose bot hears and speaks.
TWILIO: Final = "+15550004001"
ALOUD: Final = frozenset({"1003", TWILIO})
CONTENT_SID: Final = "HX" + "0" * 32


def provider_of(account: str) -> Provider:
    return "twilio" if account == TWILIO else "meta"


@dataclass(frozen=True)
class Business:
    """One number. `resends`: what has an unknown outcome is sent again."""

    tenant_id: str
    number_id: str
    bot_id: str
    account: str
    resends: bool
    credit: int
    provider: Provider


class _House(NamedTuple):
    """An organisation's number, messages a second, and what its bot's config says."""

    name: str
    account: str
    per_second: int
    config: dict[str, Any]

    @property
    def provider(self) -> Provider:
        return provider_of(self.account)

    @property
    def phone(self) -> str:
        return self.account if self.provider == "twilio" else f"+1555000{self.account}"


_NUMBERS: Final = (
    _House("Alpha", "1001", 80, {"tools": [PRICE_TOOL], "reply_buttons": True, "handoff_tool": True}),
    _House("Alpha", "1002", 5, {"on_unknown": "resend", "debounce_seconds": 2.5}),
    _House("Alpha", "1003", 80, {"tools": [PRICE_TOOL], "debounce_media_seconds": 0.5}),
    _House(
        *("Beta", "2001", 80),
        {"too_late_minutes": 1440, "tools": [PRICE_TOOL], "fallback_template": {"name": "reopen", "language": "en"}},
    ),
    _House("Beta", TWILIO, 80, {"reply_buttons": True, "fallback_template": {"name": CONTENT_SID}}),
    _House("Gamma", "3001", 80, {"debounce_seconds": 0}),
)


def found(db: Transaction) -> list[Business]:
    """Found them all."""
    made: dict[str, str] = {}
    businesses = []
    for house in _NUMBERS:
        name, account, per_second, config = house
        credit = POOR if name == "Gamma" else RICH
        if name not in made:
            made[name], _ = tenants.upsert_tenant(db, name, "pro", None, DAY_0)
            ledger.credit(db, made[name], "grant", credit, "start", DAY_0)
            hook = StoredWebhook(new_uuid(DAY_0), "https://a.example/", "", "*", True, "", "", 0, DAY_0, DAY_0)
            webhooks.insert_webhook(db, made[name], hook)
        where: dict[str, Any] = {"account": account, "provider": house.provider, "phone": house.phone}
        number = add_number(db, made[name], config=config, per_second=per_second, **where)
        bot_id = number.bot_id or ""
        if account in ALOUD:
            db.do("UPDATE bots SET type = 'whatsapp_voice' WHERE tenant_id = ? AND id = ?", made[name], bot_id)
        resends = config.get("on_unknown") == "resend"
        businesses.append(Business(made[name], number.id, bot_id, account, resends, credit, house.provider))
    return businesses


def simulated(businesses: Iterable[Business]) -> list[Number]:
    """The same numbers, at their providers."""
    places = {business.account: business for business in businesses}
    return [
        _at_twilio(house, places[house.account].number_id) if house.provider == "twilio" else _at_meta(house)
        for house in _NUMBERS
    ]


def _at_meta(house: _House) -> Number:
    return Number(
        provider="meta",
        account=house.account,
        business="102",
        phone=house.phone,
        app_secret=APP_SECRET,
        callback_url=META_HOOK,
        per_second=house.per_second,
    )


def _at_twilio(house: _House, number_id: str) -> Number:
    """Its webhook is entered twice, with the end that asks for more attempts (docs/whatsapp.md)."""
    url = PUBLIC_URL + WEBHOOKS["twilio"].format(number_id)
    return Number(
        provider="twilio",
        account=house.account,
        business="AC1",
        phone=house.phone,
        auth_token=SECRETS.auth_token,
        callback_url=url,
        fallback_url=url.replace("tt=15000", "tt=10000"),
        contents={CONTENT_SID},
        per_second=house.per_second,
        refusals="status",
        redirect_media=True,
    )
