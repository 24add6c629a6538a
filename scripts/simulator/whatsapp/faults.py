"""Misbehaviour that a test has ordered for the next requests of a number: a table, and a queue of orders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

#: How the reply goes: a good one, the error, none at all, a reset, a 500 without a body, or a 200 that is no JSON.
Manner = Literal["answer", "refuse", "hang", "reset", "empty_500", "garbage"]
#: What a fault can strike: a message, an upload, the look up or download of a file, read/typing, a look at the number,
#: or at the numbers of its business account.
Occasion = Literal["send", "upload", "look_up", "download", "read", "check", "business"]


class Fault(NamedTuple):
    """`accepted`: the message reaches the user. `fails`: a status `failed` with the code comes later."""

    about: str
    manner: Manner = "answer"
    accepted: bool = True
    fails: bool = False
    statuses: bool = True


FAULTS: Final[dict[str, Fault]] = {
    "refuse": Fault("the code as the reply", "refuse", accepted=False),
    "fail_later": Fault("a good reply, then a status `failed` with the code", accepted=False, fails=True),
    "refuse_and_fail": Fault("the code as the reply and in a status too", "refuse", accepted=False, fails=True),
    "hang": Fault("never answers; not accepted", "hang", accepted=False),
    "hang_accepted": Fault("accepted, but no answer; statuses come", "hang"),
    "reset": Fault("resets the connection; not accepted", "reset", accepted=False),
    "reset_accepted": Fault("accepted, then a reset in place of the reply; statuses come", "reset"),
    "error_500": Fault("500 without a body; not accepted", "empty_500", accepted=False),
    "error_500_accepted": Fault("accepted, but 500 without a body; statuses come", "empty_500"),
    "garbage": Fault("accepted, but the reply is no JSON; statuses come", "garbage"),
    "lost": Fault("a good reply, and no status ever", statuses=False),
    "slow": Fault("delay_s before the reply"),
}
SOUND: Final = Fault("as it should be")


@dataclass(slots=True)
class Order:
    """The next `left` requests of this kind (to `to`, if given), after `skip` that go well."""

    fault: str
    code: int = 0
    left: int = 1
    skip: int = 0
    delay_s: float = 0.0
    on: Occasion = "send"
    to: str = ""

    @property
    def what(self) -> Fault:
        return FAULTS[self.fault]


@dataclass(slots=True)
class Orders:
    """Oldest first; each request takes from the first order that is meant for it."""

    waiting: list[Order] = field(default_factory=list)

    def take(self, on: Occasion, *names: str) -> Order | None:
        """The order for this request, one less of it; `names` are what its recipient is known by."""
        for order in self.waiting:
            if order.on != on or (order.to and order.to not in names):
                continue
            if order.skip:
                order.skip -= 1
                return None
            order.left -= 1
            if not order.left:
                self.waiting.remove(order)
            return order
        return None
