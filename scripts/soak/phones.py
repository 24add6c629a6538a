"""Phones that write to a WhatsApp bot while the crowd calls, and what the gateways say became of every word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import trio

from app.storage.database import EVERY_TENANT, Database, Transaction
from scripts.bench.graph import Graph
from scripts.bench.hooks import Gate, post, text

#: So many phones write in turns, this often each: then others come, or a bot that talks so much would be silenced.
AT_ONCE: Final = 50
OFTEN: Final = 5
#: Every tenth webhook comes twice, as Meta's do when an answer of ours was lost.
AGAIN: Final = 10
#: Messages are written so shortly before they are sent that their times are true.
SLICE_S: Final = 5.0
CONNECTIONS: Final = 4
_REACHED: Final = ("accepted", "sent", "delivered", "read")
#: How a reply ends of which nobody will ever know.
_UNKNOWN: Final = ("failed", "unknown_outcome")


class Left(NamedTuple):
    """What the gateways have yet to do: webhooks to sort, messages without an end, replies that have not left."""

    unsorted: int
    unanswered: int
    unsent: int

    @property
    def nothing(self) -> bool:
        return not any(self)


@dataclass(slots=True)
class Phones:
    """`written` messages were posted, `taken` of them acknowledged; one that is posted again is the same message."""

    graph: Graph
    gates: Sequence[Gate]
    rate: float
    number_id: str
    written: int = 0
    taken: int = 0
    again: int = 0
    refused: int = 0
    first_refusal: str | None = None

    async def write_for(self, seconds: float) -> None:
        """Messages at a steady rate, whatever becomes of them."""
        end = trio.current_time() + seconds
        while self.rate and (now := trio.current_time()) < end:
            await self._write_some(min(SLICE_S, end - now))

    async def _write_some(self, seconds: float) -> None:
        """A slice of the time, over a gate of its own."""
        count = round(self.rate * seconds)
        if not count:
            await trio.sleep(seconds)
            return
        bodies: list[bytes] = []
        gate = self.gates[self.written // count % len(self.gates)]
        for _ in range(count):
            self.written += 1
            body = gate.envelope([text(f"soak.{self.written}", _phone(self.written))])
            bodies.append(body)
            if self.written % AGAIN == 0:
                bodies.append(body)
        acks = await post(gate, bodies, len(bodies) / seconds, connections=CONNECTIONS)
        self.taken += count
        self.again += len(bodies) - count
        self.refused += acks.errors
        self.first_refusal = self.first_refusal or acks.first_error


@dataclass(frozen=True, slots=True)
class Talk:
    """What was said, and what of it does not add up, by name."""

    messages: int
    replies: int
    wrong: Mapping[str, int]


class Reply(NamedTuple):
    """Replies to one phone that end alike."""

    phone: str
    state: str
    reason: str | None
    times: int


def _phone(number: int) -> str:
    group, place = divmod(number, AT_ONCE * OFTEN)
    return f"91{group * AT_ONCE + place % AT_ONCE:010}"


async def left(db: Database) -> Left:
    """Cheap enough for every sample: each is looked up by an index."""
    return await db.read(EVERY_TENANT, _left)


async def compared(db: Database, phones: Phones) -> Talk:
    """Every message that was taken is kept once and has an end; every reply reached its phone once."""
    messages, replies, dead = await db.read(EVERY_TENANT, partial(_said, number_id=phones.number_id))
    came = {phone: len(times) for phone, times in phones.graph.came.items()}
    return Talk(messages, sum(came.values()), wrongs(phones.taken, phones.written, messages, replies, came, dead))


def wrongs(
    taken: int, written: int, messages: int, replies: Sequence[Reply], came: Mapping[str, int], dead: int
) -> dict[str, int]:
    """Names and counts of what does not add up. `came` is how often each phone was reached."""
    sure, perhaps = Counter[str](), Counter[str]()
    for reply in replies:
        sure[reply.phone] += reply.times if reply.state in _REACHED else 0
        perhaps[reply.phone] += reply.times if (reply.state, reply.reason) == _UNKNOWN else 0
    found = {
        "messages lost": taken - messages,
        "messages kept twice": messages - written,
        "replies that no phone got": (sure - Counter(came)).total(),
        "replies that no record has": (Counter(came) - sure - perhaps).total(),
        "dead letters": dead,
    }
    return {name: count for name, count in found.items() if count > 0}


def _left(db: Transaction) -> Left:
    counted = (
        "inbox WHERE state = 'pending'",
        "messages WHERE disposition = 'open'",
        "sends WHERE state = 'queued'",
        "sends WHERE state IN ('sending', 'unknown')",
    )
    # The tables are named a few lines above.
    unsorted, unanswered, *unsent = (int(db.all(f"SELECT COUNT(*) FROM {rows}")[0][0]) for rows in counted)  # noqa: S608
    return Left(unsorted, unanswered, sum(unsent))


def _said(db: Transaction, number_id: str) -> tuple[int, list[Reply], int]:
    at_number = "JOIN conversations v ON v.tenant_id = x.tenant_id AND v.id = x.conversation_id WHERE v.number_id = ?"
    # Both sentences are our own words; the number is a value.
    messages = db.all(f"SELECT COUNT(*) FROM messages x {at_number} AND x.role = 'user'", number_id)  # noqa: S608
    replies = db.all(
        f"SELECT v.external_id, x.state, x.reason, COUNT(*) FROM sends x {at_number} "  # noqa: S608 - our own words
        "GROUP BY v.external_id, x.state, x.reason",
        number_id,
    )
    dead = db.all("SELECT COUNT(*) FROM dead_letters WHERE number_id = ?", number_id)
    return int(messages[0][0]), [Reply(str(phone).lstrip("+"), *rest) for phone, *rest in replies], int(dead[0][0])
