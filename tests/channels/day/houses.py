"""The businesses of the day: three organisations, their numbers and bots, and a webhook of each that hears all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from app.core.identity import new_uuid
from app.storage import ledger, tenants, webhooks
from app.storage.database import Transaction
from app.storage.webhooks import StoredWebhook
from scripts.simulator.whatsapp.state import Number
from tests.channels.mailroom import APP_SECRET, add_number
from tests.storage.making import DAY_0

RICH: Final = 10_000_000_000
POOR: Final = 900
HOOK: Final = "https://bots.example.com/hook"
PRICE_TOOL: Final = {"name": "price", "url": "https://shop.example.com/price"}


@dataclass(frozen=True)
class Business:
    """One number. `resends`: what has an unknown outcome is sent again."""

    tenant_id: str
    number_id: str
    bot_id: str
    account: str
    resends: bool
    credit: int


#: (organisation, account, messages a second, what its bot's config says)
_NUMBERS: Final[list[tuple[str, str, int, dict[str, Any]]]] = [
    ("Alpha", "1001", 80, {"tools": [PRICE_TOOL], "reply_buttons": True, "handoff_tool": True}),
    ("Alpha", "1002", 5, {"on_unknown": "resend", "debounce_seconds": 2.5}),
    (
        *("Beta", "2001", 80),
        {"too_late_minutes": 1440, "tools": [PRICE_TOOL], "fallback_template": {"name": "reopen", "language": "en"}},
    ),
    ("Gamma", "3001", 80, {"debounce_seconds": 0}),
]


def found(db: Transaction) -> list[Business]:
    """Found them all."""
    made: dict[str, str] = {}
    businesses = []
    for name, account, per_second, config in _NUMBERS:
        credit = POOR if name == "Gamma" else RICH
        if name not in made:
            made[name], _ = tenants.upsert_tenant(db, name, "pro", None, DAY_0)
            ledger.credit(db, made[name], "grant", credit, "start", DAY_0)
            hook = StoredWebhook(new_uuid(DAY_0), "https://a.example/", "", "*", True, "", "", 0, DAY_0, DAY_0)
            webhooks.insert_webhook(db, made[name], hook)
        number = add_number(
            db, made[name], account=account, config=config, per_second=per_second, phone=f"+1555000{account}"
        )
        resends = config.get("on_unknown") == "resend"
        businesses.append(Business(made[name], number.id, number.bot_id or "", account, resends, credit))
    return businesses


def simulated() -> list[Number]:
    """The same numbers, at their provider."""
    return [
        Number(
            provider="meta",
            account=account,
            business="102",
            phone=f"+1555000{account}",
            app_secret=APP_SECRET,
            callback_url=HOOK,
            per_second=per_second,
        )
        for _, account, per_second, _ in _NUMBERS
    ]
