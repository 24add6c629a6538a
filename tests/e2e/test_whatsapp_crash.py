"""kill -9 between any two steps from a webhook to its answer's last status: nothing is lost, nothing happens twice."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import trio

from app.storage.database import Transaction
from scripts.clustering.postgres import free_port
from scripts.simulator.whatsapp.faults import Order
from scripts.simulator.whatsapp.sayings import Saying
from scripts.simulator.whatsapp.state import Pace
from tests.books import faults, open_holds
from tests.databases import ON_BOTH, elsewhere, open_view
from tests.e2e.topology import Front
from tests.e2e.tripwires import Wire, laid, tripped
from tests.e2e.whatsapp import PROMPT, SCOPES, Shop, open_shop
from tests.house import Ground, open_ground

pytestmark = ON_BOTH

#: A dead process's holds are freed soon.
TIMES: Final[dict[str, Any]] = {"hold_s": 2.0, "sweep_s": 0.1}
CONFIG: Final[dict[str, Any]] = {"max_tokens": 4000, "debounce_media_seconds": 0}
#: Longer than Meta's first pauses between two attempts at a webhook, as the simulator shortens them.
PAUSES_S: Final = 8.0
LOOK_S: Final = 0.05
WITHIN_S: Final = 10.0
#: Whatever might happen twice would have done so by then.
QUIET_S: Final = 1.5
BRISK: Final = Pace(sent_s=0.02, delivered_s=0.04, read_s=0.06)
SILENT: Final = Pace(sent_s=None, delivered_s=None, read_s=None)


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


ANSWERED: Final = Came("answered", 1, ("read",))
SPOKEN: Final = Came("answered", 1, ("read",), charges=3)


@dataclass(frozen=True, slots=True)
class Step:
    """Where the process is killed: at a wire in its database, when the model has been asked, or when the provider has
    met the message with a fault.
    """

    wire: Wire | None = None
    fault: str = ""
    words: str = "[tokens=8]"
    #: No status tells what came of the message, and the minute in which one might is over.
    silent: bool = False
    came: Came = ANSWERED


def _sends(now: str, told: str = "") -> Wire:
    return Wire("UPDATE", "sends", f"OLD.state <> NEW.state AND NEW.state = '{now}'{told}")


#: From the webhook to the answer, and from there to its last status.
IN: Final = {
    "nothing is kept of the webhook": Step(Wire("INSERT", "inbox", "NEW.kind = 'message'")),
    "kept, and not sorted": Step(Wire("INSERT", "messages", "NEW.role = 'user'")),
    "sorted, and nobody's": Step(Wire("UPDATE", "lanes", "NEW.owner <> ''")),
    "claimed, and no turn begun": Step(Wire("INSERT", "turns", "1 = 1")),
    "begun, and no hold taken": Step(Wire("INSERT", "calls", "1 = 1")),
    "the model is asked": Step(words="[tokens=8] [first=1500]"),
    "answered, and not charged": Step(Wire("INSERT", "turn_legs", "1 = 1")),
    "charged, and the parts of the answer not written": Step(Wire("INSERT", "sends", "1 = 1")),
}  # behind that the lane is left while the sender is at work already: its steps are the next
OUT: Final = {
    "queued, and not taken up": Step(_sends("sending")),
    "the second of three parts not taken up": Step(
        _sends("sending", " AND NEW.part = 2"), words="[tokens=2000]", came=Came("answered", 3, ("read",) * 3)
    ),
    "sent, not taken, and no status comes": Step(
        fault="hang", silent=True, came=Came("answered", 0, ("failed unknown_outcome",))
    ),
    "sent, taken, and a status will come": Step(fault="hang_accepted"),
    "sent, taken, and no status comes": Step(
        fault="hang_accepted", silent=True, came=Came("answered", 1, ("failed unknown_outcome",))
    ),
    "the provider's id not recorded": Step(_sends("accepted")),
    "its first status not applied": Step(_sends("sent")),
    "its last status not applied": Step(_sends("read")),
}
ALOUD: Final = {
    "heard, and not charged": Step(Wire("INSERT", "turn_legs", "NEW.leg = 'stt'"), came=SPOKEN),
    "understood, and not answered": Step(Wire("INSERT", "turn_legs", "NEW.leg LIKE 'llm%'"), came=SPOKEN),
    "answered, and not taken up to be spoken": Step(Wire("INSERT", "calls", "NEW.category = 'tts'"), came=SPOKEN),
    "spoken, and not charged": Step(Wire("INSERT", "turn_legs", "NEW.leg = 'tts'"), came=SPOKEN),
    "charged, and no file yet": Step(Wire("INSERT", "media", "NEW.media_type LIKE 'audio/ogg%'"), came=SPOKEN),
    "made, and not sent": Step(_sends("sending"), came=SPOKEN),
}


@dataclass
class Street:
    """A shop whose gateway dies once for each of its customers."""

    ground: Ground
    front: Front
    shop: Shop
    wrong: dict[str, Any] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        return self.ground.settings.database_url

    async def kill_at(self, step: Step, phone: str, saying: Saying) -> None:
        """Let somebody write, and kill the gateway when it has come to this step."""
        number = self.shop.number
        number.pace = SILENT if step.silent else BRISK
        if step.fault:
            number.orders.waiting.append(Order(step.fault))
        with self._stopping(step):
            self.shop.say(saying, phone=phone)
            await self._reached(step, phone)
            await self.front.end(signal.SIGKILL)

    @contextmanager
    def _stopping(self, step: Step) -> Iterator[None]:
        if step.wire is None:
            yield
            return
        with laid(self.database_url, step.wire):
            yield

    async def _reached(self, step: Step, phone: str) -> None:
        if step.wire is not None:
            await tripped(self.database_url)
            return
        with trio.fail_after(WITHIN_S):
            while not self._is_met(step, phone):  # noqa: ASYNC110 - the book is only read
                await trio.sleep(LOOK_S)

    def _is_met(self, step: Step, phone: str) -> bool:
        if step.fault:
            return any(sent.fault and sent.to == phone for sent in self.shop.number.sends)
        return bool(self.ground.book.records(phone))

    async def goes_on(self, step: Step) -> None:
        """Another process takes over, when the leases of the dead one are over."""
        elsewhere(self.database_url, _leases_end)
        await self.front.start()
        self.ground.phones.timeline.advance(PAUSES_S)
        if step.silent:
            with open_view(self.database_url) as db:
                await _until(lambda: db.all("SELECT 1 FROM sends WHERE state = 'unknown'"))
            elsewhere(self.database_url, _leases_end)

    def came(self, phone: str) -> Came:
        with open_view(self.database_url) as db:
            said = db.all(SAID, phone)
            sends = db.all(SENDS, phone)
            charges = db.all(CHARGES, phone)
        states = tuple(" ".join(filter(None, row)) for row in sends)
        return Came(" ".join(row[0] for row in said), len(self.shop.got(phone)), states, len(charges))


def _leases_end(db: Transaction) -> None:
    """A minute has passed in which nobody lived."""
    db.do("UPDATE lanes SET lease_until = 1 WHERE owner <> ''")
    db.do("UPDATE sends SET lease_until = 1 WHERE state IN ('sending', 'unknown')")


async def _until(met: Any) -> bool:
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
        yield Street(ground, front, shop)
        with open_view(database_url) as db:
            await _until(lambda: not open_holds(db))
            assert faults(db) == {}
            assert db.all("SELECT due_at, owner FROM lanes WHERE due_at IS NOT NULL OR owner <> ''") == []
        assert await front.end(signal.SIGTERM) == 0


async def die_at_each(street: Street, steps: dict[str, Step], kind: Any) -> None:
    """One death and one customer for each step; what came of them, there and then and when all is quiet."""
    phones = {name: f"+9190000000{number:02}" for number, name in enumerate(steps)}
    for name, step in steps.items():
        phone = phones[name]
        await street.kill_at(step, phone, Saying(type=kind, text=f"[tag={phone}] {step.words}"))
        await street.goes_on(step)
        await _until(lambda step=step, phone=phone: street.came(phone) == step.came)
    await trio.sleep(QUIET_S)
    assert {name: street.came(phones[name]) for name in steps} == {name: step.came for name, step in steps.items()}


@pytest.mark.parametrize("steps", [IN, OUT], ids=["in", "out"])
async def test_a_kill_between_any_two_steps_loses_no_message_and_repeats_no_answer_and_no_charge(
    tmp_path: Path, database_url: str, steps: dict[str, Step]
) -> None:
    async with open_street(database_url, tmp_path) as street:
        await die_at_each(street, steps, "text")


async def test_a_voice_note_is_heard_once_and_answered_aloud_once_whenever_the_process_dies(
    tmp_path: Path, database_url: str
) -> None:
    async with open_street(database_url, tmp_path, type="whatsapp_voice") as street:
        await die_at_each(street, ALOUD, "voice")
