"""What becomes of a message that is well formed, at either provider: limits, window, orders for faults, statuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from scripts.simulator.whatsapp import limits
from scripts.simulator.whatsapp.faults import SOUND, Fault, Manner, Order
from scripts.simulator.whatsapp.letters import FILES, Letter
from scripts.simulator.whatsapp.state import Number, Sent, StatusName, User


class Codes(NamedTuple):
    """How a provider says that a limit is reached; `failure` is what an order without a code means.

    `pair_in_reply`: whether the pair's limit is told in the reply, or only ever in a status.
    """

    throughput: int
    pair: int
    window: int
    failure: int
    pair_in_reply: bool = True


class Later(NamedTuple):
    """A status of a message, due at `at`."""

    at: float
    sent: Sent
    status: StatusName
    code: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to a request, how it goes, and the statuses that follow. `sent` is the message in the number's book."""

    status: int
    payload: dict[str, Any] | None
    manner: Manner = "answer"
    delay_s: float = 0.0
    later: tuple[Later, ...] = ()
    sent: Sent | None = None


class Verdict(NamedTuple):
    """`sent.code` is set when it is refused or fails."""

    sent: Sent
    fault: Fault
    delay_s: float
    later: tuple[Later, ...]


_MOMENTS: Final[tuple[StatusName, ...]] = ("sent", "delivered", "read", "played")


def decide(now: float, number: Number, letter: Letter, new_id: Callable[[str], str], codes: Codes) -> Verdict:
    """Take the message or not, book it, and put it on the user's phone."""
    order = number.orders.take("send", *letter.names)
    fault = order.what if order else SOUND
    user = number.user(*letter.names)
    sent = _booked(now, number, user, letter, new_id(letter.phone or letter.user_id), order)
    later: tuple[Later, ...] = ()
    if not fault.accepted:
        sent.outcome, sent.code = ("failed" if fault.fails else "refused"), _code(fault, order, codes)
        later = _failure(now, number, sent) if fault.fails else ()
    elif limit := _limit(now, number, user, letter, codes):
        sent.code = limit
        by_status = number.refusals != "reply" and limit != codes.throughput
        silent_reply = (by_status and number.refusals == "status") or (limit == codes.pair and not codes.pair_in_reply)
        sent.outcome = "failed" if silent_reply else "refused"
        later = _failure(now, number, sent) if by_status or silent_reply else ()
        fault = SOUND
    else:
        _spend(now, number, user)
        user.receive(_item(now, sent, letter))
        later = _statuses(now, number, sent, letter) if fault.statuses else ()
    number.count(f"sends_{sent.outcome}")
    return Verdict(sent, fault, order.delay_s if order else 0.0, later)


def _booked(now: float, number: Number, user: User, letter: Letter, sent_id: str, order: Order | None) -> Sent:
    sent = Sent(
        n=number.count("sends"),
        at=now,
        id=sent_id,
        to=letter.phone or user.phone,
        user_id=letter.user_id or user.user_id,
        kind=letter.kind,
        text=letter.text,
        body=letter.body,
        reference=letter.reference,
        outcome="accepted",
        fault=order.fault if order else "",
        callback_url=letter.callback_url,
    )
    number.sends.append(sent)
    return sent


def _code(fault: Fault, order: Order | None, codes: Codes) -> int:
    ordered = order.code if order else 0
    return ordered or (codes.failure if fault.manner == "refuse" or fault.fails else 0)


def _limit(now: float, number: Number, user: User, letter: Letter, codes: Codes) -> int:
    """The code of the first limit that is in the way; 0 when none is."""
    if not limits.may_go(number.tat, now, 1 / number.per_second, max(1, int(number.per_second))):
        return codes.throughput
    if not limits.may_go(user.tat, now, limits.PAIR_EVERY_S, limits.PAIR_BURST):
        return codes.pair
    if letter.free_form and now >= user.window_until:
        return codes.window
    return 0


def _spend(now: float, number: Number, user: User) -> None:
    number.tat = limits.spent(number.tat, now, 1 / number.per_second)
    user.tat = limits.spent(user.tat, now, limits.PAIR_EVERY_S)


def _item(now: float, sent: Sent, letter: Letter) -> dict[str, Any]:
    """As the phone shows it: media by their id or link, choices as they were given."""
    item = {"at": now, "id": sent.id, "type": sent.kind, "text": sent.text}
    if letter.reply_to:
        item["reply_to"] = letter.reply_to
    if sent.kind == "interactive":
        item["choices"] = choices(sent.body)
    if sent.kind in FILES:
        item["media"] = {name: sent.body[name] for name in ("id", "link", "filename", "voice") if name in sent.body}
    return item if sent.kind == "text" else item | {"body": sent.body}


def choices(interactive: dict[str, Any]) -> list[dict[str, str]]:
    """(id, title) of each button or row that can be tapped."""
    action = interactive.get("action", {})
    buttons = [button["reply"] for button in action.get("buttons", ()) if "reply" in button]
    rows = [row for section in action.get("sections", ()) for row in section.get("rows", ())]
    return [{"id": str(choice["id"]), "title": str(choice["title"])} for choice in buttons + rows if "title" in choice]


def _failure(now: float, number: Number, sent: Sent) -> tuple[Later, ...]:
    return _doubled(number, [Later(now + (number.pace.sent_s or 0.0), sent, "failed", sent.code)])


def _statuses(now: float, number: Number, sent: Sent, letter: Letter) -> tuple[Later, ...]:
    pace = number.pace
    voice = letter.kind == "audio" and bool(letter.body.get("voice"))
    waits = dict(zip(_MOMENTS, (pace.sent_s, pace.delivered_s, pace.read_s, pace.played_s), strict=True))
    due = [(name, wait) for name, wait in waits.items() if wait is not None and (name != "played" or voice)]
    times = [wait for _, wait in due]
    if pace.reverse:
        times.reverse()
    found = [Later(now + wait, sent, name) for (name, _), wait in zip(due, times, strict=True)]
    return _doubled(number, sorted(found, key=lambda later: later.at))


def _doubled(number: Number, later: list[Later]) -> tuple[Later, ...]:
    return tuple(each for each in later for _ in range(1 + number.pace.twice))
