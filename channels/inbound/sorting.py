"""What sorting an update needs to know and has to say. The parts are `sorting_messages`, `_changes` and `_statuses`.

They are functions of a transaction of the tenant, in which the row of the inbox becomes done, too. What cannot be
applied as things stand is said, never raised, before anything is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from app.storage import numbers
from app.storage.database import Transaction
from app.storage.numbers import StoredNumber
from channels.conversations.conversing import Plans

SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Sorted:
    """What became of an update. `unknown`: what it is about is not there, or not yet. `dead`: it cannot be used.

    `lane`: a turn has something to do. `sends`: what waits behind a message that was sent may go now.
    """

    ending: Literal["done", "unknown", "dead"] = "done"
    reason: str = ""
    lane: bool = False
    sends: bool = False


DONE: Final = Sorted()
UNKNOWN: Final = Sorted("unknown", "unknown message")
NO_NUMBER: Final = Sorted("dead", "no such number")
NO_BOT: Final = Sorted("dead", "no bot")
NO_SENDER: Final = Sorted("dead", "nobody is named as its sender")


@dataclass(frozen=True, slots=True)
class Sorting:
    """One transaction of a tenant. What does not change within it is read once."""

    db: Transaction
    tenant_id: str
    at_us: int
    plans: Plans
    _numbers: dict[str, StoredNumber | None] = field(default_factory=dict)

    def number(self, number_id: str) -> StoredNumber | None:
        if number_id not in self._numbers:
            self._numbers[number_id] = numbers.find_number(self.db, self.tenant_id, number_id)
        return self._numbers[number_id]
