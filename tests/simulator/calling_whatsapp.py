"""What the tests of the WhatsApp simulator share: numbers, bodies, and a gateway that only remembers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import trio
import trio.testing

from scripts.simulator.whatsapp.phones import Phones
from scripts.simulator.whatsapp.sayings import Saying, Shape, Who
from scripts.simulator.whatsapp.state import Number
from scripts.simulator.whatsapp.wire import Outgoing, Reply

Json = dict[str, Any]

START_S = 1_790_000_000.0
ASHA = Who(phone="+919876543210", user_id="IN.77", name="Asha")
BSUID = "US.13491208655302741918"


def meta_number(**fields: Any) -> Number:
    given = {
        "account": "1065",
        "business": "WABA1",
        "phone": "+15550783881",
        "token": "token-a",
        "app_secret": "secret",
    }
    return Number(provider="meta", **{"callback_url": "http://gateway.test/meta", **given, **fields})


def twilio_number(**fields: Any) -> Number:
    given = {"account": "+14155238886", "business": "AC1", "phone": "+14155238886", "auth_token": "12345"}
    url = "http://gateway.test/twilio#rc=3&rp=all"
    return Number(provider="twilio", **{"callback_url": url, "refusals": "status", **given, **fields})


def text_body(text: str = "hello", to: str = ASHA.phone, **fields: Any) -> Json:
    return {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": text}, **fields}


def text_form(text: str = "hello", to: str = ASHA.phone, **fields: str) -> list[tuple[str, str]]:
    given = {"From": "whatsapp:+14155238886", "To": f"whatsapp:{to}", "Body": text}
    return [*(given | fields).items()]


@dataclass
class Gateway:
    """Takes webhooks and answers with the next of `statuses`, then with 200; what goes to `hangs_on` gets no answer."""

    statuses: list[int] = field(default_factory=list)
    taken: list[tuple[float, Outgoing]] = field(default_factory=list)
    hangs_on: str = "nowhere"
    hanging: int = 0
    refuses_challenges: bool = False

    async def __call__(self, outgoing: Outgoing) -> Reply:
        await trio.lowlevel.checkpoint()
        self.taken.append((trio.current_time(), outgoing))
        if self.hangs_on in outgoing.url:
            self.hanging += 1
            await trio.sleep_forever()
        if "hub.challenge" in outgoing.url and not self.refuses_challenges:
            query = dict(parse_qsl(outgoing.url.partition("?")[2]))
            return Reply(200, query["hub.challenge"].encode(), "text/plain")
        return Reply(self.statuses.pop(0) if self.statuses else 200)

    @property
    def values(self) -> list[Json]:
        """`value` of every change of every body of Meta's."""
        bodies = [msgspec.json.decode(outgoing.body) for _, outgoing in self.taken if outgoing.body is not None]
        return [change["value"] for body in bodies for entry in body["entry"] for change in entry["changes"]]

    @property
    def statuses_told(self) -> list[tuple[str, str]]:
        """(id, status) in the order in which Meta told them."""
        told = [status for value in self.values for status in value.get("statuses", ())]
        return [(status["id"], status["status"]) for status in told]

    @property
    def forms(self) -> list[dict[str, str]]:
        """Twilio's bodies."""
        return [dict(parse_qsl((outgoing.body or b"").decode(), keep_blank_values=True)) for _, outgoing in self.taken]


@dataclass
class Playground:
    """Phones in virtual time whose webhooks end at `gateway`."""

    phones: Phones
    gateway: Gateway

    def say(self, number: Number, *sayings: Saying | str, who: Who = ASHA, **shape: Any) -> list[str]:
        words = [Saying(text=each) if isinstance(each, str) else each for each in sayings]
        return self.phones.say([(number, who, words)], Shape(**shape))[0]

    def send(self, number: Number, **body: Any) -> str:
        """The id of a text that was accepted."""
        answer = self.phones.graph_send(number, msgspec.json.encode(text_body(**body)))
        assert answer.sent is not None
        return answer.sent.id


async def open_playground(nursery: trio.Nursery, *numbers: Number, retry_scale: float = 1.0) -> Playground:
    phones = Phones(start_s=START_S, random=Random(1), retry_scale=retry_scale, base_url="http://simulator.test")
    for number in numbers:
        phones.connect(number)
    gateway = Gateway()
    run: Callable[[], Awaitable[None]] = partial(phones.run, gateway)
    nursery.start_soon(run)
    await trio.testing.wait_all_tasks_blocked()
    return Playground(phones, gateway)
