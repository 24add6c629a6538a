"""Webhooks made ready to be posted: body, headers, signature, and how long they are tried (sections 2, 3 of both)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urldefrag, urlencode

import trio

from scripts.simulator.whatsapp.meta_updates import BATCH, Update, body_of
from scripts.simulator.whatsapp.sayings import Shape
from scripts.simulator.whatsapp.signing import meta_signature, twilio_signature
from scripts.simulator.whatsapp.state import Number, Posted

#: Meta's pauses between attempts, growing; the last one is repeated for seven days.
META_PAUSES_S: Final = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, *[14400] * 40)
META_TIMEOUT_S: Final = 20.0
EVERY_FAILURE: Final = frozenset({"ct", "rt", "2xx", "3xx", "4xx", "5xx"})
#: What a bad signature is made with.
NOBODYS_SECRET: Final = "a-secret-that-nobody-has"  # noqa: S105


class Persistence(NamedTuple):
    """How long and after which failures it is tried again (cannot connect, breaks, statuses); what counts as taken."""

    pauses_s: tuple[float, ...]
    retry_on: frozenset[str]
    timeout_s: float
    only_200: bool


META: Final = Persistence(META_PAUSES_S, EVERY_FAILURE, META_TIMEOUT_S, True)


def twilio_persistence(url: str) -> Persistence:
    """What the fragment of a callback URL asks for; it is not sent."""
    asked = {name: values[-1] for name, values in parse_qs(urldefrag(url).fragment).items()}
    count = min(5, int(asked.get("rc", "1")))
    reasons = frozenset(asked.get("rp", "ct").split(","))
    timeout_s = min(15_000, int(asked.get("rt", "15000"))) / 1000
    return Persistence((0.2,) * count, EVERY_FAILURE if "all" in reasons else reasons, timeout_s, False)


@dataclass(slots=True)
class Parcel:
    """One webhook. `then` is sent once when this one is given up: Twilio's fallback. `tried`: after the first try."""

    number: Number
    url: str
    headers: dict[str, str]
    body: bytes
    posted: Posted
    persistence: Persistence
    then: Parcel | None = None
    tried: trio.Event = field(default_factory=trio.Event)

    def again(self) -> Parcel:
        """The very same body, posted once more."""
        posted = Posted(0, self.posted.at, self.url, f"again {self.posted.about}", self.posted.updates)
        return Parcel(self.number, self.url, self.headers, self.body, posted, self.persistence, self.then)


def raw_parcel(number: Number, body: bytes, shape: Shape, about: str, updates: int, at: float) -> Parcel:
    """Any bytes, signed as Meta does."""
    headers = {"content-type": "application/json", "user-agent": "facebookexternalua"}
    if shape.bad_signature != "missing":
        secret = NOBODYS_SECRET if shape.bad_signature else number.app_secret
        headers["x-hub-signature-256"] = meta_signature(secret, body)
    posted = Posted(0, at, number.callback_url, about, updates)
    return Parcel(number, number.callback_url, headers, body, posted, META)


def meta_parcels(updates: Sequence[tuple[Number, Update]], shape: Shape, at: float) -> list[Parcel]:
    """One body each; in a batch as few as can be, told to the first number of each body."""
    if not shape.batch:
        return [_meta_parcel([each], shape, str(each[1].item["id"]), at) for each in updates]
    batches = [updates[start : start + BATCH] for start in range(0, len(updates), BATCH)]
    return [_meta_parcel(batch, shape, f"batch of {len(batch)}", at) for batch in batches]


def _meta_parcel(updates: Sequence[tuple[Number, Update]], shape: Shape, about: str, at: float) -> Parcel:
    numbers = {number.account: number for number, _ in updates}
    sources = [(number, [update for owner, update in updates if owner is number]) for number in numbers.values()]
    return raw_parcel(updates[0][0], body_of(sources, shape.layout), shape, about, len(updates), at)


def twilio_parcel(
    number: Number, url: str, params: Sequence[tuple[str, str]], shape: Shape, about: str, at: float
) -> Parcel:
    """One form; a message is tried last at the number's fallback URL, if it has another one."""
    target = urldefrag(url).url
    headers = {"content-type": "application/x-www-form-urlencoded", "user-agent": "TwilioProxy/1.1"}
    if shape.bad_signature != "missing":
        secret = NOBODYS_SECRET if shape.bad_signature else number.auth_token
        headers["x-twilio-signature"] = twilio_signature(secret, target, params)
    parcel = Parcel(
        number, target, headers, urlencode(params).encode(), Posted(0, at, target, about, 1), twilio_persistence(url)
    )
    if number.fallback_url and url == number.callback_url != number.fallback_url:
        failed = [("ErrorCode", "11200"), ("ErrorUrl", target)]
        parcel.then = twilio_parcel(number, number.fallback_url, [*params, *failed], shape, f"fallback {about}", at)
    return parcel
