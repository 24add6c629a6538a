"""What is known of numbers and of those who write to them. All of it is bounded; the oldest leaves first."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec
import trio

from scripts.simulator.whatsapp.faults import Orders

Provider = Literal["meta", "twilio"]
#: Of a webhook.
Outcome = Literal["waiting", "delivered", "gave_up", "dropped"]
StatusName = Literal["sent", "delivered", "read", "played", "failed"]

NUMBERS: Final = 1_000
USERS_A_NUMBER: Final = 20_000
ITEMS_A_USER: Final = 300
#: Of each: messages sent, messages said, webhooks posted.
KEPT_A_NUMBER: Final = 20_000


class Pace(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """When the statuses of an accepted message come, in seconds after it; None: that one never does.

    `twice`: each comes twice. `reverse`: the first comes last. `gather_s`: they are held for so long and come in one
    body, in any order if `shuffle`.
    """

    sent_s: float | None = 0.05
    delivered_s: float | None = 0.15
    read_s: float | None = 0.4
    played_s: float | None = None
    twice: bool = False
    reverse: bool = False
    gather_s: float = 0.0
    shuffle: bool = False


class Template(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An approved template: its languages and how many parameters its body has."""

    languages: tuple[str, ...] = ("en", "en_US")
    parameters: int = 0


TEMPLATES: Final = {"hello_world": Template(), "order_update": Template(parameters=1), "reopen": Template()}


@dataclass(slots=True)
class Sent:
    """A message that the business has sent, as the provider took it."""

    n: int
    at: float
    id: str
    to: str
    user_id: str
    kind: str
    text: str
    body: dict[str, Any]
    reference: str
    outcome: Literal["accepted", "refused", "failed"]
    code: int = 0
    fault: str = ""
    callback_url: str = ""
    statuses: list[tuple[float, str]] = field(default_factory=list)


@dataclass(slots=True)
class Said:
    """A message that a user has written. `user` is the phone or, where none is known, the BSUID."""

    n: int
    at: float
    id: str
    user: str
    kind: str
    text: str


@dataclass(slots=True)
class Posted:
    """A webhook, and how its delivery goes. `status` is the last answer's, 0 when there was none."""

    n: int
    at: float
    url: str
    about: str
    updates: int
    attempts: int = 0
    status: int = 0
    took_ms: float = 0.0
    outcome: Outcome = "waiting"


@dataclass(slots=True)
class User:
    """Somebody's phone, as far as one number knows it. `inbox` is what came to it, numbered from 1."""

    phone: str = ""
    user_id: str = ""
    name: str = ""
    window_until: float = 0.0
    #: When the pair's bucket is full again.
    tat: float = 0.0
    inbox: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=ITEMS_A_USER))
    received: int = 0
    news: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def receive(self, item: dict[str, Any]) -> None:
        """Put it into the inbox and wake those who look at this phone."""
        self.received += 1
        self.inbox.append({"n": self.received, **item})
        self.news.unpark_all()


class NumberSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a number is connected with. Empty secrets are not asked for, and sign as empty strings."""

    provider: Provider
    phone: str
    name: str = "Simulated Business"
    token: str = ""
    app_secret: str = ""
    auth_token: str = ""
    api_key_sid: str = ""
    api_key_secret: str = ""
    callback_url: str = ""
    fallback_url: str = ""
    verify_token: str = ""
    contents: set[str] = set()
    per_second: float = 80.0
    #: Twilio's files come from a redirect.
    redirect_media: bool = False
    pace: Pace = msgspec.field(default_factory=Pace)


class Number(NumberSettings, kw_only=True):
    """A connected number. `account` is Meta's phone number id or, at Twilio, the number; `business` the WABA id or the
    account SID.
    """

    account: str
    business: str
    templates: dict[str, Template] = msgspec.field(default_factory=lambda: dict(TEMPLATES))
    #: Where the limits of pair and window are told: in the reply, in a later status, or both.
    refusals: Literal["reply", "status", "both"] = "reply"
    orders: Orders = msgspec.field(default_factory=Orders)
    tat: float = 0.0
    sends: deque[Sent] = msgspec.field(default_factory=lambda: deque(maxlen=KEPT_A_NUMBER))
    said: deque[Said] = msgspec.field(default_factory=lambda: deque(maxlen=KEPT_A_NUMBER))
    posted: deque[Posted] = msgspec.field(default_factory=lambda: deque(maxlen=KEPT_A_NUMBER))
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    users: dict[str, User] = {}
    #: message id -> phone and BSUID of who wrote it.
    writers: dict[str, tuple[str, str]] = {}

    def user(self, phone: str = "", user_id: str = "") -> User:
        """Who is known by either; a new one if nobody is. Given both, they are one from now on."""
        names = [name for name in (phone, user_id) if name]
        known = [self.users[name] for name in names if name in self.users]
        user = known[0] if known else User()
        for other in known[1:]:
            if other is not user:
                user.window_until = max(user.window_until, other.window_until)
                for item in other.inbox:
                    user.receive(item | {"n": user.received + 1})
                other.news.unpark_all()
        user.phone, user.user_id = phone or user.phone, user_id or user.user_id
        for name in names:
            self.users[name] = user
        if len(self.users) > USERS_A_NUMBER:
            self.users.pop(next(iter(self.users)))
        return user

    def heard(self, said: Said, user: User) -> None:
        """Keep what was written, and by whom."""
        self.said.append(said)
        self.writers[said.id] = (user.phone, user.user_id)
        if len(self.writers) > KEPT_A_NUMBER:
            self.writers.pop(next(iter(self.writers)))

    def writer(self, message_id: str) -> User | None:
        """Who wrote this message to the number."""
        return self.user(*self.writers[message_id]) if message_id in self.writers else None

    def count(self, what: str) -> int:
        """One more of it; how many there are now."""
        self.counts[what] += 1
        return self.counts[what]
