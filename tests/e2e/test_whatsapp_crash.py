"""kill -9 between any two steps from a webhook to its answer's last status: nothing is lost, nothing happens twice."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import trio

from app.storage.database import Transaction
from scripts.clustering.postgres import free_port
from scripts.simulator.whatsapp.faults import Occasion, Order
from scripts.simulator.whatsapp.sayings import Saying
from scripts.simulator.whatsapp.state import Pace
from tests.books import faults, open_holds
from tests.databases import ON_BOTH, elsewhere, open_view
from tests.e2e.topology import Front
from tests.e2e.tripwires import Wire, laid
from tests.e2e.whatsapp import PROMPT, SCOPES, Shop, open_shop
from tests.house import Ground, open_ground

pytestmark = ON_BOTH

#: A wire in PostgreSQL holds for as long as a statement may take.
TIMES: Final[dict[str, Any]] = {"sweep_s": 0.1, "database_deadline_s": 30.0}
CONFIG: Final[dict[str, Any]] = {"max_tokens": 4000, "debounce_media_seconds": 0}
LOOK_S: Final = 0.05
#: Only what has gone wrong takes so long, however busy the machine is.
WITHIN_S: Final = 30.0
#: Whatever might happen twice would have done so by then.
QUIET_S: Final = 1.5
BRISK: Final = Pace(sent_s=0.02, delivered_s=0.04, read_s=0.06)
SILENT: Final = Pace(sent_s=None, delivered_s=None, read_s=None)


FOR_EVER: Final = 2**62
SAID: Final = """
    SELECT m.disposition FROM messages m JOIN conversations v ON v.id = m.conversation_id
    WHERE v.external_id = ? AND m.role = 'user'"""
SENDS: Final = """
    SELECT s.state, s.reason FROM sends s JOIN conversations v ON v.id = s.conversation_id
    WHERE v.external_id = ? ORDER BY s.seq"""
CHARGES: Final = """
    SELECT c.id FROM calls c JOIN conversations v ON v.id = c.session_id WHERE v.external_id = ? AND c.charge > 0"""


class Came(NamedTuple):
    """What came of a message: why it waits no longer, what its phone got, how far our parts came, what was charged."""

    disposition: str
    got: int
    sends: tuple[str, ...]
    charges: int = 1


UNHEARD: Final = Came("", 0, (), charges=0)
OPEN: Final = Came("open", 0, (), charges=0)
MAKING: Final = Came("answered", 0, ("making",), charges=2)
QUEUED: Final = Came("answered", 0, ("queued",))
ON_ITS_WAY: Final = Came("answered", 0, ("sending",))
ARRIVED: Final = Came("answered", 1, ("sending",))
ANSWERED: Final = Came("answered", 1, ("read",))
SPOKEN: Final = Came("answered", 1, ("read",), charges=3)


@dataclass(frozen=True, slots=True)
class Step:
    """Where the process is killed: at a wire in its database, when the model has been asked, or when the provider has
    met a request with a fault.
    """

    wire: Wire | None = None
    fault: str = ""
    on: Occasion = "send"
    words: str = "[tokens=8]"
    #: The number is paused until the process is dead: nobody begins to send what is queued.
    paused: bool = False
    #: No status tells what came of the message, and the minute in which one might is over.
    silent: bool = False
    #: What there is of it when the process is dead; None where its parts run on side by side.
    left: Came | None = None
    came: Came = ANSWERED


def _sends(now: str, told: str = "") -> Wire:
    return Wire("UPDATE", "sends", f"OLD.state <> NEW.state AND NEW.state = '{now}'{told}")


#: From the webhook to a turn.
IN: Final = {
    "nothing is kept of the webhook": Step(Wire("INSERT", "inbox", "NEW.kind = 'message'"), left=UNHEARD),
    "kept, and not sorted": Step(Wire("INSERT", "messages", "NEW.role = 'user'"), left=UNHEARD),
    "sorted, and nobody's": Step(Wire("UPDATE", "lanes", "NEW.owner <> ''"), left=OPEN),
    "claimed, and no turn begun": Step(Wire("INSERT", "turns", "1 = 1"), left=OPEN),
    "begun, and no hold taken": Step(Wire("INSERT", "calls", "1 = 1"), left=OPEN),
}
#: From there to the answer.
TURN: Final = {
    "the model is asked": Step(words="[tokens=8] [first=1500]", left=OPEN),
    "answered, and not charged": Step(Wire("INSERT", "turn_legs", "1 = 1"), left=OPEN),
    "charged, and the parts of the answer not written": Step(Wire("INSERT", "sends", "1 = 1"), left=OPEN),
    # Senders need no lane: without the pause they are at work by now, and may write before the lane is left or after.
    "answered, and the lane still held": Step(
        Wire("UPDATE", "lanes", "OLD.owner <> '' AND NEW.owner = ''"), paused=True, left=QUEUED
    ),
}
#: From there to its last status.
OUT: Final = {
    "queued, and not taken up": Step(_sends("sending"), left=QUEUED),
    "the second of three parts not taken up": Step(
        _sends("sending", " AND NEW.part = 2"), words="[tokens=2000]", came=Came("answered", 3, ("read",) * 3)
    ),
    "the provider's id not recorded": Step(_sends("accepted"), left=ARRIVED),
    "its first status not applied": Step(_sends("sent")),
    "its last status not applied": Step(_sends("read")),
}
#: Sent, and nobody is told what came of it.
DOUBT: Final = {
    "not taken, and no status comes": Step(
        fault="hang", silent=True, left=ON_ITS_WAY, came=Came("answered", 0, ("failed unknown_outcome",))
    ),
    "taken, and a status will come": Step(fault="hang_accepted"),
    "taken, and no status comes": Step(
        fault="hang_accepted", silent=True, left=ARRIVED, came=Came("answered", 1, ("failed unknown_outcome",))
    ),
}
#: A voice note up to the words of its answer.
HEARD: Final = {
    "fetched, and not kept": Step(Wire("INSERT", "media", "1 = 1"), left=OPEN, came=SPOKEN),
    "heard, and not charged": Step(Wire("INSERT", "turn_legs", "NEW.leg = 'stt'"), left=OPEN, came=SPOKEN),
    "understood, and not answered": Step(
        Wire("INSERT", "turn_legs", "NEW.leg LIKE 'llm%'"), left=OPEN._replace(charges=1), came=SPOKEN
    ),
}
#: And from there to their sound.
ALOUD: Final = {
    "not taken up to be spoken": Step(Wire("INSERT", "calls", "NEW.category = 'tts'"), left=MAKING, came=SPOKEN),
    "spoken, and not charged": Step(Wire("INSERT", "turn_legs", "NEW.leg = 'tts'"), left=MAKING, came=SPOKEN),
    "charged, and not let out": Step(_sends("queued", " AND OLD.state = 'making'"), left=MAKING, came=SPOKEN),
    "let out, and not taken up": Step(_sends("sending"), left=QUEUED._replace(charges=3), came=SPOKEN),
    # Nobody but the dead knows that not a byte of the message has left.
    "taken up, and its file not with the provider": Step(
        fault="hang",
        on="upload",
        silent=True,
        left=ON_ITS_WAY._replace(charges=3),
        came=Came("answered", 0, ("failed unknown_outcome",), charges=3),
    ),
}


@dataclass
class Street:
    """A shop whose gateway dies once for each of its customers."""

    ground: Ground
    front: Front
    shop: Shop

    @property
    def database_url(self) -> str:
        return self.ground.settings.database_url

    async def kill_at(self, step: Step, phone: str, saying: Saying) -> None:
        """Let somebody write, and kill the gateway when it has come to this step."""
        number = self.shop.number
        number.pace = SILENT if step.silent else BRISK
        if step.fault:
            number.orders.waiting.append(Order(step.fault, on=step.on))
        self._pause(FOR_EVER if step.paused else 0)
        with self._stopping(step, phone) as has_come:
            self.shop.say(saying, phone=phone)
            assert await _until(has_come), f"it does not come to this step, see {self.front.log}"
            await self.front.end(signal.SIGKILL)
        self._pause(0)

    def _pause(self, until_us: int) -> None:
        elsewhere(self.database_url, lambda db: db.do("UPDATE numbers SET paused_until = ?", until_us))

    def _stopping(self, step: Step, phone: str) -> AbstractContextManager[Callable[[], bool]]:
        if step.wire is not None:
            return laid(self.database_url, step.wire)
        if step.fault:
            return nullcontext(lambda: not self.shop.number.orders.waiting)
        return nullcontext(lambda: bool(self.ground.book.records(phone)))

    async def goes_on(self, step: Step) -> None:
        """Another process takes over, when the leases of the dead one are over."""
        elsewhere(self.database_url, _leases_end)
        await self.front.start()
        assert await _until(self._is_told_again)
        if step.silent:
            with open_view(self.database_url) as db:
                assert await _until(lambda: bool(db.all("SELECT 1 FROM sends WHERE state = 'unknown'")))
            elsewhere(self.database_url, _minute_ends)

    def _is_told_again(self) -> bool:
        """Whether webhooks that the dead did not take have been taken; the pauses between attempts grow with the time
        that a start takes, and are left out.
        """
        timeline = self.ground.phones.timeline
        timeline.advance((timeline.next_at or 0.0) - timeline.now())
        return all(posted.outcome == "delivered" for posted in self.shop.number.posted)

    def has_come(self, phone: str, wanted: Came) -> bool:
        """Whether that is what came of it, and nobody is at work any more: the next wire is for the next customer."""
        return self.came(phone) == wanted and self.is_idle()

    def is_idle(self) -> bool:
        with open_view(self.database_url) as db:
            return not db.all("SELECT 1 FROM lanes WHERE due_at IS NOT NULL OR owner <> ''")

    def came(self, phone: str) -> Came:
        with open_view(self.database_url) as db:
            said = db.all(SAID, phone)
            sends = db.all(SENDS, phone)
            charges = db.all(CHARGES, phone)
        states = tuple(" ".join(filter(None, row)) for row in sends)
        return Came(" ".join(row[0] for row in said), len(self.shop.got(phone)), states, len(charges))


def _leases_end(db: Transaction) -> None:
    """Whatever the dead process had is for others: lanes, messages on their way, credits."""
    db.do("UPDATE lanes SET lease_until = 1 WHERE owner <> ''")
    db.do("UPDATE sends SET lease_until = 1 WHERE state = 'sending'")
    db.do("UPDATE calls SET expires_at = 1 WHERE state = 'held'")


def _minute_ends(db: Transaction) -> None:
    """In which a status might have told what came of a message."""
    db.do("UPDATE sends SET lease_until = 1 WHERE state = 'unknown'")


async def _until(met: Callable[[], bool]) -> bool:
    """Whether it was met in time."""
    with trio.move_on_after(WITHIN_S):
        while not met():  # noqa: ASYNC110 - another process brings it about
            await trio.sleep(LOOK_S)
        return True
    return False


@asynccontextmanager
async def open_street(database_url: str, folder: Path, **bot: Any) -> AsyncIterator[Street]:
    async with open_ground(database_url, customer=SCOPES, **TIMES) as ground, AsyncExitStack() as stack:
        front = Front(replace(ground.settings, port=free_port()), folder / "gateway.log", 1, stack)
        await front.start()
        shop = await open_shop(ground, front.url, bot={**PROMPT, **bot}, **CONFIG)
        street = Street(ground, front, shop)
        yield street
        assert street.is_idle()
        with open_view(database_url) as db:
            assert await _until(lambda: not open_holds(db))
            assert faults(db) == {}
        assert await front.end(signal.SIGTERM) == 0


async def die_at_each(street: Street, steps: dict[str, Step], kind: Any) -> None:
    """One death and one customer for each step; what came of them, there and then and when all is quiet."""
    phones = {name: f"+9190000000{number:02}" for number, name in enumerate(steps)}
    for name, step in steps.items():
        phone = phones[name]
        await street.kill_at(step, phone, Saying(type=kind, text=f"[tag={phone}] {step.words}"))
        assert step.left in (None, left := street.came(phone)), f"{name}: {left} was left"
        await street.goes_on(step)
        came = await _until(partial(street.has_come, phone, step.came))
        assert came, f"{name}: {street.came(phone)} is what came, see {street.front.log}"
    await trio.sleep(QUIET_S)
    assert {name: street.came(phones[name]) for name in steps} == {name: step.came for name, step in steps.items()}


@pytest.mark.parametrize("steps", [IN, TURN, OUT, DOUBT], ids=["in", "turn", "out", "doubt"])
async def test_a_kill_between_any_two_steps_loses_no_message_and_repeats_no_answer_and_no_charge(
    tmp_path: Path, database_url: str, steps: dict[str, Step]
) -> None:
    async with open_street(database_url, tmp_path) as street:
        await die_at_each(street, steps, "text")


@pytest.mark.parametrize("steps", [HEARD, ALOUD], ids=["heard", "aloud"])
async def test_a_voice_note_is_heard_once_and_answered_aloud_once_whenever_the_process_dies(
    tmp_path: Path, database_url: str, steps: dict[str, Step]
) -> None:
    async with open_street(database_url, tmp_path, type="whatsapp_voice") as street:
        await die_at_each(street, steps, "voice")
