"""A shop on WhatsApp for the end-to-end tests: its bot, its number at the simulated provider, its customers' phones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import trio

from scripts.simulator.whatsapp.phones import Phones
from scripts.simulator.whatsapp.sayings import Saying, Shape, Who
from scripts.simulator.whatsapp.state import Number, Provider
from tests.house import Ground, House

Json = dict[str, Any]
PHONE: Final = "+919876543210"
#: Of the customer whose key connects a shop.
SCOPES: Final[Json] = {"scopes": "*"}
#: A bot that answers every message at once; the model's answers are as long as the cues in a message say.
PROMPT: Final[Json] = {"type": "whatsapp", "name": "Asha", "system_prompt": "You sell tea."}
CONFIG: Final[Json] = {"model": "kimi-k2.6", "debounce_seconds": 0}
#: How its numbers are entered at the gateway.
META: Final[Json] = {
    "provider": "meta",
    "phone_number_id": "106540352242922",
    "waba_id": "102290129340398",
    "access_token": "EAAG-the-access-token-of-acme",
    "app_secret": "the-app-secret-of-acme",
    "verify_token": "a-word-of-acmes-own",
}
TWILIO: Final[Json] = {
    "provider": "twilio",
    "phone_number": "+14155238886",
    "account_sid": "AC0123456789abcdef0123456789abcdef",
    "auth_token": "0123456789abcdef0123456789abcdef",
}
#: What a phone shows besides messages.
SIGNS: Final = frozenset({"read", "typing", "call"})


@dataclass(frozen=True, slots=True)
class Shop:
    """`number` is the simulator's, `number_id` the gateway's."""

    phones: Phones
    number: Number
    number_id: str
    bot_id: str

    def say(self, *words: str | Saying, phone: str = PHONE, **shape: Any) -> list[str]:
        """A user writes; the ids of the messages."""
        says = [Saying(text=each) if isinstance(each, str) else each for each in words]
        return self.phones.say([(self.number, Who(phone, name="Ravi"), says)], Shape(**shape))[0]

    def got(self, phone: str = PHONE) -> list[Json]:
        """The messages that have come to a phone, oldest first."""
        return [item for item in self.number.user(phone).inbox if item["type"] not in SIGNS]

    def signs(self, kind: str, phone: str = PHONE) -> list[Json]:
        """What else it shows: `read` or `typing`."""
        return [item for item in self.number.user(phone).inbox if item["type"] == kind]

    async def hears(self, count: int = 1, phone: str = PHONE, within_s: float = 8.0) -> list[Json]:
        """The messages of a phone, once there are so many."""
        user = self.number.user(phone)
        with trio.move_on_after(within_s):
            while len(self.got(phone)) < count:
                await user.news.park()
        got = self.got(phone)
        assert len(got) >= count, f"{phone} got {got}"
        return got


async def open_shop(
    ground: Ground | House,
    url: str,
    new: Mapping[str, Any] = META,
    *,
    bot: Mapping[str, Any] = PROMPT,
    **config: Any,
) -> Shop:
    """Connect a number to a new bot by the platform API of the gateway at `url`, and check it at the provider."""
    headers = {"authorization": f"Bearer {ground.customer.key}"}
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=30) as http:
        made = await http.post("/bots", json={**bot, "config": {**CONFIG, **config}})
        assert made.status_code == 201, made.text
        entered = await http.post("/whatsapp/numbers", json={**new, "bot_id": made.json()["id"]})
        assert entered.status_code == 201, entered.text
        number = _at_the_provider(new, entered.json()["webhook_url"])
        ground.phones.connect(number)
        if new["provider"] == "meta":
            assert await ground.phones.verify(number)
        checked = await http.post(f"/whatsapp/numbers/{entered.json()['id']}/verify")
        assert checked.json()["state"] == "connected", checked.text
    return Shop(ground.phones, number, entered.json()["id"], made.json()["id"])


def _at_the_provider(new: Mapping[str, Any], webhook_url: str) -> Number:
    provider: Provider = new["provider"]
    if provider == "meta":
        names = {"token": "access_token", "app_secret": "app_secret", "verify_token": "verify_token"}
        given = {name: new[field] for name, field in names.items()}
        account, business, phone = new["phone_number_id"], new["waba_id"], "+15550001111"
    else:
        given = {"auth_token": new["auth_token"], "refusals": "status"}
        account, business, phone = new["phone_number"], new["account_sid"], new["phone_number"]
    return Number(provider=provider, account=account, business=business, phone=phone, callback_url=webhook_url, **given)
