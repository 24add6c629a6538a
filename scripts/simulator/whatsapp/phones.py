"""WhatsApp in one object: both providers, the numbers connected to them, and the phones of those who write.

A test may use it without any server: give `run` a sender that hands a webhook to the code under test, and call
`graph_send` in place of the Graph API. Time is trio's, from `start_s` on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from random import Random
from typing import Any, Final
from urllib.parse import urlencode

import trio

from scripts.simulator.whatsapp import limits, meta_updates, twilio_updates
from scripts.simulator.whatsapp.courier import Courier
from scripts.simulator.whatsapp.exchange import Answer, Later
from scripts.simulator.whatsapp.files import RECEIVED_S, File, Files
from scripts.simulator.whatsapp.graph import GraphState
from scripts.simulator.whatsapp.ids import Ids
from scripts.simulator.whatsapp.parcels import Parcel, meta_parcels, raw_parcel, twilio_parcel
from scripts.simulator.whatsapp.sayings import Saying, Shape, Who, attachment
from scripts.simulator.whatsapp.state import NUMBERS, Number, Said, Sent
from scripts.simulator.whatsapp.timeline import Timeline
from scripts.simulator.whatsapp.twilio import TwilioState
from scripts.simulator.whatsapp.wire import Outgoing, Sender

#: These do not open the window.
_WINDOWLESS: Final = frozenset({"reaction", "edit", "revoke", "system", "echo"})
_LINK_S: Final = 10.0
#: How a provider tells that it could not fetch a link.
_UNFETCHED: Final = {"meta": 131053, "twilio": 63019}

Talk = tuple[Number, Who, Sequence[Saying]]


class Unknown(LookupError):
    """No such number is connected."""


class Phones:
    """`base_url` is where this simulator can be reached; links to files begin with it. `retry_scale` shortens the
    pauses between attempts at a webhook.
    """

    def __init__(
        self,
        *,
        start_s: float | None = None,
        random: Random | None = None,
        retry_scale: float = 0.1,
        base_url: str = "",
    ) -> None:
        self.timeline = Timeline(start_s)
        self.files = Files()
        self.ids = Ids(random)
        self.graph = GraphState(self.files, self.ids)
        self.twilio = TwilioState(self.ids)
        self.base_url = base_url
        self.numbers: dict[str, Number] = {}
        self._random = random or Random()  # noqa: S311
        self._courier = Courier(self.timeline, retry_scale)
        self._gathered: dict[str, list[Later]] = {}
        self._way: tuple[trio.Nursery, Sender] | None = None

    async def run(self, send: Sender) -> None:
        """Tell the webhooks what happens, through `send`, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._way = nursery, send
            self._courier.open(nursery, send)
            await self.timeline.run()

    def connect(self, number: Number) -> None:
        """Register it, in place of one with the same account; the oldest leaves when there are too many."""
        self.numbers.pop(number.account, None)
        self.numbers[number.account] = number
        if len(self.numbers) > NUMBERS:
            self.numbers.pop(next(iter(self.numbers)))

    def number(self, account: str) -> Number:
        """Raises `Unknown`."""
        try:
            return self.numbers[account]
        except KeyError:
            raise Unknown(f"no number {account!r} is connected") from None

    async def verify(self, number: Number) -> bool:
        """Meta's GET with a challenge; whether it came back alone, as plain text (section 1)."""
        challenge = self.ids.number()
        query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": number.verify_token}
        if self._way is None:
            return False
        reply = await self._way[1](Outgoing(f"{number.callback_url}?{urlencode(query)}", {}, None, _LINK_S))
        plain = reply.media_type.startswith("text/plain")
        return reply.status == 200 and plain and reply.body == challenge.encode()

    def graph_send(self, number: Number, body: bytes) -> Answer:
        """`GraphState.send` now, with its statuses told in time."""
        return self._follow(number, self.graph.send(self.timeline.now(), number, body))

    def twilio_send(self, number: Number, params: Sequence[tuple[str, str]]) -> Answer:
        """`TwilioState.send` now, with its statuses told in time."""
        return self._follow(number, self.twilio.send(self.timeline.now(), number, params))

    def say(self, talks: Iterable[Talk], shape: Shape) -> tuple[list[str], list[Parcel]]:
        """Write all of it and post it; the ids of the messages, and the bodies on their way.

        All numbers of one batch are told at the first one's URL, signed with its secret. Raises ValueError for a file
        that is no base64.
        """
        now = self.timeline.now()
        ids: list[str] = []
        updates: list[tuple[Number, meta_updates.Update]] = []
        parcels: list[Parcel] = []
        for number, who, saying in [(number, who, saying) for number, who, said in talks for saying in said]:
            said, file = self._write(number, who, saying, shape)
            ids.append(said.id)
            if number.provider == "twilio":
                params = twilio_updates.said_params(number, who, saying, said.id, file, f"{self.base_url}/twilio")
                parcels.append(twilio_parcel(number, number.callback_url, params, shape, said.id, now))
            else:
                fields = meta_updates.file_fields(file, self._link(file)) if file else None
                update = meta_updates.said_update(number, who, saying, said.id, said.at, fields)
                updates.append((number, update._replace(field="standby") if shape.standby else update))
        if shape.shuffle:
            self._random.shuffle(updates)
            self._random.shuffle(parcels)
        parcels += meta_parcels(updates, shape, now) if updates else []
        parcels += [parcel.again() for parcel in parcels for _ in range(shape.duplicate)]
        for chain in [[parcel] for parcel in parcels] if shape.together else [parcels]:
            self._courier.carry(chain)
        return ids, parcels

    def post_raw(self, number: Number, body: bytes, shape: Shape) -> list[Parcel]:
        """Any bytes at all, signed (or not, by `shape`) as Meta would."""
        parcels = [raw_parcel(number, body, shape, "raw", 0, self.timeline.now()) for _ in range(1 + shape.duplicate)]
        self._courier.carry(parcels)
        return parcels

    async def received(
        self, number: Number, phone: str, user_id: str, after: int, wait_s: float
    ) -> list[dict[str, Any]]:
        """What came to the phone after item `after`; waits for some at most so long, in trio's time."""
        with trio.move_on_after(wait_s):
            while True:
                user = number.user(phone, user_id)
                if items := [item for item in user.inbox if item["n"] > after]:
                    return items
                await user.news.park()
        return []

    def _write(self, number: Number, who: Who, saying: Saying, shape: Shape) -> tuple[Said, File | None]:
        now = self.timeline.now()
        made = attachment(saying)
        at = next((each for each in (saying.at, shape.at) if each is not None), now)
        user = number.user(who.phone, who.user_id)
        user.name = who.name or user.name
        if saying.type not in _WINDOWLESS:
            user.window_until = max(user.window_until, at + limits.WINDOW_S)
        file = None
        if made is not None:
            file_id = self.ids.number() if number.provider == "meta" else self.ids.sid("ME")
            file = File(file_id, number.account, made.data, made.media_type, made.name, now + RECEIVED_S)
            self.files.put(file)
        message_id = saying.id or self._message_id(number, who, saying)
        said = Said(number.count("said"), at, message_id, who.phone or who.user_id, saying.type, saying.text)
        number.heard(said, user)
        return said, file

    def _message_id(self, number: Number, who: Who, saying: Saying) -> str:
        if number.provider == "twilio":
            return self.ids.sid("SM")
        return self.ids.call() if saying.type == "call" else self.ids.wamid(who.phone.lstrip("+"))

    def _link(self, file: File) -> str:
        return f"{self.base_url}/graph/files/{self.files.link(file, self.ids.word(), self.timeline.now())}"

    def _follow(self, number: Number, answer: Answer) -> Answer:
        """See to it that the statuses come, after a look at the link if the message has one."""
        sent = answer.sent
        links = [] if sent is None else [*sent.body.get("links", ()), *filter(None, [sent.body.get("link")])]
        if sent is not None and sent.outcome == "accepted" and links and self._way is not None:
            nursery, send = self._way
            nursery.start_soon(self._fetch_first, number, sent, answer.later, links[0], send)
        else:
            self._await(number, answer.later)
        return answer

    def _await(self, number: Number, later: Iterable[Later]) -> None:
        for each in later:
            if not self.timeline.at(each.at, partial(self._happened, number, each)):
                number.count("statuses_dropped")

    async def _fetch_first(self, number: Number, sent: Sent, later: Sequence[Later], link: str, send: Sender) -> None:
        """The provider fetches the link; where it cannot, the message fails."""
        reply = await send(Outgoing(link, {}, None, _LINK_S))
        number.count("links_fetched" if reply.status == 200 else "links_failed")
        if reply.status != 200:
            sent.outcome, sent.code = "failed", _UNFETCHED[number.provider]
            later = [Later(self.timeline.now(), sent, "failed", sent.code)] if later else ()
        self._await(number, later)

    def _happened(self, number: Number, later: Later) -> None:
        later.sent.statuses.append((later.at, later.status))
        gathered = self._gathered.setdefault(number.account, [])
        gathered.append(later)
        if not number.pace.gather_s:
            self._tell_statuses(number)
        elif len(gathered) == 1:
            self.timeline.at(self.timeline.now() + number.pace.gather_s, partial(self._tell_statuses, number))

    def _tell_statuses(self, number: Number) -> None:
        later, now = self._gathered.pop(number.account, []), self.timeline.now()
        if number.pace.shuffle:
            self._random.shuffle(later)
        number.counts.update(f"statuses_{each.status}" for each in later)
        if number.provider == "meta":
            updates = [(number, meta_updates.status_update(number, each)) for each in later]
            self._courier.carry(meta_parcels(updates, Shape(batch=True), now))
            return
        for each in later:
            if each.sent.callback_url:
                params = twilio_updates.status_params(number, each)
                about = f"{each.status} {each.sent.id}"
                self._courier.carry([twilio_parcel(number, each.sent.callback_url, params, Shape(), about, now)])
