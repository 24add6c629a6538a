"""What happens in a day, from a seed: scenes of a minute or two at any hour, side by side, with quiet between."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Final

import trio

from scripts.simulator.whatsapp.faults import Order
from scripts.simulator.whatsapp.sayings import Saying, Who
from scripts.simulator.whatsapp.state import Pace, Provider
from tests.channels.day.doings import BAD_TOKEN, USERS, person
from tests.channels.day.houses import provider_of
from tests.channels.day.model import CALM, EVERYTHING, ILL, SLOW
from tests.channels.day.scenes_apart import ScenesApart
from tests.channels.day.world import PROCESSES, Day

HOUR_S: Final = 3600.0
KINDS: Final = ("image", "sticker", "voice", "document", "location", "button", "list", "flow", "call", "unsupported")
#: What Twilio tells nothing of, or not by a kind of its own.
METAS_OWN: Final = frozenset({"call", "unsupported", "edit", "revoke"})
#: (fault, code)
_BREAKS: Final[tuple[tuple[str, int], ...]] = (
    *((name, 0) for name in ("reset", "reset_accepted", "hang", "hang_accepted", "error_500", "error_500_accepted")),
    *((name, 0) for name in ("garbage", "lost", "slow")),
)
FAULTS: Final[dict[Provider, tuple[tuple[str, int], ...]]] = {
    "meta": (
        *_BREAKS,
        *(("refuse", code) for code in (131000, 131016, 1, 130429, 131056, 131048, 131057, 133015, 80007)),
        *(("refuse", code) for code in (131026, 131049, 131050, 131047, 100, 132999)),
        *(("fail_later", 131026), ("refuse_and_fail", 131000), ("fail_later", 131047)),
    ),
    "twilio": (
        *_BREAKS,
        *(("refuse", code) for code in (20429, 20429, 63018, 21610, 21211, 63016, 63021, 30999)),
        *(("fail_later", code) for code in (63016, 63018, 63024, 63049, 30999)),
        ("refuse_and_fail", 20429),
    ),
}
#: How long the window is open still.
LEFT_S: Final = (10, 50, 62, 66, 70, 80, 95, 120)


class Script(ScenesApart):
    """The events of `hours` hours. `names` are scenes by name, all of them if there are none."""

    def __init__(self, day: Day, random: Random, hours: float, scenes: int, names: Sequence[str] = ()) -> None:
        super().__init__(day, random)
        every = {name.removeprefix("scene_"): getattr(self, name) for name in dir(self) if name.startswith("scene_")}
        wanted = list(names) or list(every)
        for place in range(scenes):
            name = wanted[place] if place < len(wanted) else random.choice(wanted)
            at = hours * HOUR_S * random.random()
            every[name](at)
            for offset in range(random.randint(0, 3)):
                self._chatter(at + 10 * offset)
        for hour in range(1, int(hours)):
            self._at(hour * HOUR_S, self._tidy_up)
        if hours >= 3 and not names:
            self._outage(0.2 * hours * HOUR_S, 20 * 60)
        if hours >= 20 and not names:
            self._outage(0.45 * hours * HOUR_S, 7 * HOUR_S)
        self._at(hours * HOUR_S + 150, self._mend)

    # Scenes

    def scene_fragments(self, at: float) -> None:
        """Many write at once, each in fragments 0.8 s apart."""
        for account, who in self._some(12):
            start = at + self._random.uniform(0, 20)
            for piece in range(self._random.randint(1, 6)):
                self._say(start + 0.8 * piece, account, who, [self._words(account)])

    def scene_batch(self, at: float) -> None:
        """One body with what many have written, in any order, and the same body again."""
        account = self._random.choice(list(USERS))
        people = self._random.sample(self._people[account], 7)
        talks = [(who, [self._words(account) for _ in range(self._random.randint(1, 3))]) for who in people]
        layout = self._random.choice(["message", "change", "entry"])
        shape = {"batch": True, "layout": layout, "shuffle": True, "duplicate": self._random.randint(0, 3)}
        self._do(at, lambda: self._day.say(account, talks, **shape, together=self._random.random() < 0.5))

    def scene_duplicates(self, at: float) -> None:
        """The same webhook many times, at once and much later."""
        for account, who in self._some(6):
            self._say(at + self._random.uniform(0, 9), account, who, [self._text()], duplicate=5, together=True)

            async def again(account: str = account, who: Who = who) -> None:
                saying = self._text()
                (message_id,) = self._day.say(account, [(who, [saying])])
                await trio.sleep(self._random.choice([0.1, 1.5, 30.0, 90.0]))
                self._day.say(account, [(who, [Saying(text=saying.text, id=message_id)])])

            self._at(at + self._random.uniform(0, 9), again)

    def scene_kinds(self, at: float) -> None:
        """All that is no text."""
        for account, who in self._some(10):
            is_meta = provider_of(account) == "meta"
            for kind in self._random.sample([kind for kind in KINDS if is_meta or kind not in METAS_OWN], 3):
                captioned = self._random.random() < 0.6 or kind in ("button", "list", "flow")
                text = self._token() if captioned else ""
                saying = Saying(type=kind, text=text, latitude=12.5, longitude=77.5, name="Shop", choice_id="choice:1")
                self._say(at + self._random.uniform(0, 25), account, who, [saying])

    def scene_changes(self, at: float) -> None:
        """Users edit, delete and react, sooner or later."""
        for account, who in self._some(8):

            async def change(account: str = account, who: Who = who) -> None:
                saying, is_meta = self._words(account), provider_of(account) == "meta"
                (message_id,) = self._day.say(account, [(who, [saying])])
                await trio.sleep(self._random.choice([0.2, 0.9, 2.5, 8.0]))
                kinds = ["edit", "revoke", "reaction"]
                kind = self._random.choice([each for each in kinds if is_meta or each not in METAS_OWN])
                if saying.type == "voice" and kind == "edit":  # there are no words to change
                    kind = "revoke"
                text = f"{saying.text} changed" if kind == "edit" else ""
                emoji = "+1" if kind == "reaction" else ""
                what = Saying(type=kind, message_id=message_id, text=text, emoji=emoji)  # type: ignore[arg-type]  # a Kind
                self._day.say(account, [(who, [what])])

            self._at(at + self._random.uniform(0, 20), change)

    def scene_takeover(self, at: float) -> None:
        """People take over at any moment of a turn: by a switch, by writing, from the phone; later the bot is back."""
        self._mood(at, 60, SLOW if self._random.random() < 0.3 else CALM)
        for account, who in self._some(10):
            start = at + self._random.uniform(0, 20)
            self._say(start, account, who, [self._words(account)])
            how = self._random.choice([self._switch_off, self._write, self._echo])
            self._at(start + self._random.uniform(0.1, 9), partial(how, account, who))
            self._say(start + self._random.uniform(5, 15), account, who, [self._text()])
            self._at(start + self._random.uniform(20, 40), partial(self._switch_on, account, who))
            self._say(start + self._random.uniform(40, 60), account, who, [self._text()])

    def scene_keyword(self, at: float) -> None:
        """Users ask for a person."""
        for account, who in self._some(4):
            self._say(at + self._random.uniform(0, 9), account, who, [Saying(text="Agent.")])
            self._say(at + self._random.uniform(10, 15), account, who, [self._text()])
            self._at(at + 40, partial(self._switch_on, account, who))

    def scene_bot_off(self, at: float) -> None:
        """A bot is switched off for a minute."""
        account = self._random.choice(list(USERS))
        self._at(at + 5, partial(self._set_active, account, False))
        self._at(at + 50, partial(self._set_active, account, True))
        for who in self._random.sample(self._people[account], 5):
            for _ in range(3):
                self._say(at + self._random.uniform(0, 60), account, who, [self._text()])

    def scene_credits(self, at: float) -> None:
        """The poor organisation is asked more than it can pay for, and tops up."""
        for who in self._people["3001"]:
            for _ in range(5):
                self._say(at + self._random.uniform(0, 60), "3001", who, [self._text()])
        self._at(at + 30, partial(self._grant, "3001", self._random.choice([500, 3000, 20_000])))

    def scene_model(self, at: float) -> None:
        """The model is ill, busy, slow or silent."""
        self._mood(at, 90, self._random.choice([ILL, SLOW, EVERYTHING]))
        self._crowd(at, 10)

    def scene_provider(self, at: float) -> None:
        """The provider refuses, breaks, loses its answers."""
        account = self._random.choice(list(USERS))
        for _ in range(12):
            fault, code = self._random.choice(FAULTS[provider_of(account)])
            order = Order(
                fault, code, left=self._random.choice([1, 1, 2, 7]), skip=self._random.randint(0, 3), delay_s=9.0
            )
            self._do(at + self._random.uniform(0, 40), partial(self._order, account, order))
        self._crowd(at, 10, account)
        self._mood(at, 60, EVERYTHING)

    def scene_silence(self, at: float) -> None:
        """The provider takes what it is given, and never says so: no answer, no status."""
        account = self._random.choice(list(USERS))
        names = ("reset_accepted", "hang_accepted", "error_500_accepted", "garbage", "reset", "hang", "error_500")
        self._do(at, partial(self._tell_statuses, account, Pace(sent_s=None, delivered_s=None, read_s=None)))
        for _ in range(8):
            order = Order(self._random.choice(names), left=1, skip=self._random.randint(0, 2))
            self._do(at + self._random.uniform(0, 30), partial(self._order, account, order))
        self._crowd(at, 10, account)
        self._do(at + 60, partial(self._tell_statuses, account, Pace()))

    def scene_account(self, at: float) -> None:
        """The token of a number is not taken any more, for a minute."""
        account = self._random.choice(list(USERS))
        self._do(at + 4, lambda: self._order(account, Order("refuse", BAD_TOKEN[provider_of(account)], left=3)))
        self._at(at + 60, partial(self._reconnect, account))
        self._crowd(at, 6, account)

    def scene_unreachable(self, at: float) -> None:
        """Connections to the provider cannot be made."""
        self._do(at, lambda: setattr(self._day.wire, "unreachable", 0.7))
        self._do(at + 30, lambda: setattr(self._day.wire, "unreachable", 0.0))
        self._crowd(at, 8)

    def scene_statuses(self, at: float) -> None:
        """Statuses come before the answer, late, twice, in any order, many at once; webhooks are answered in vain."""
        paces = [
            Pace(sent_s=0.0, delivered_s=0.001, read_s=0.002),
            Pace(twice=True, reverse=True),
            Pace(sent_s=5.0, delivered_s=70.0, read_s=200.0, gather_s=10.0, shuffle=True),
            Pace(sent_s=None, delivered_s=None, read_s=None),
        ]
        for account in USERS:
            self._do(at, partial(self._tell_statuses, account, self._random.choice(paces)))
            self._do(at + 60, partial(self._tell_statuses, account, Pace()))
        self._do(at, lambda: setattr(self._day, "lost_acks", 0.3))
        self._do(at + 60, lambda: setattr(self._day, "lost_acks", 0.0))
        self._mood(at, 60, EVERYTHING)
        self._crowd(at, 12)

    def scene_window(self, at: float) -> None:
        """Old news: the 24 hours of these users are over in a moment, or while the bot thinks."""
        self._mood(at, 60, SLOW)
        for _ in range(6):
            who, age_s = person("2001", 1000 + next(self._strangers)), 24 * HOUR_S - self._random.choice(LEFT_S)

            def say(who: Who = who, age_s: float = age_s) -> None:
                self._day.say("2001", [(who, [self._text()])], at=self._day.phones.timeline.now() - age_s)

            self._do(at + self._random.uniform(0, 10), say)

    def scene_pace(self, at: float) -> None:
        """One user writes so much that the answers reach the limit of the pair, and a number is slow."""
        account, who = self._random.choice(self._everybody("1001"))
        self._mood(at, 180, {"long": 1})
        for place in range(60):
            self._say(at + 3 * place, account, who, [Saying(type="button", text=self._token(), choice_id="x")])
        self._crowd(at, 12, "1002")

    def scene_kills(self, at: float) -> None:
        """Processes die at some commit and come back, while much is going on."""
        self._mood(at, 80, EVERYTHING)
        self._crowd(at, 12)
        for _ in range(4):
            place, moment = self._random.randrange(PROCESSES), at + self._random.uniform(0, 50)
            commits, kept = self._random.randint(0, 12), self._random.random() < 0.5
            self._do(moment, partial(self._day.kill, place, commits=commits, kept=kept))
            self._at(moment + self._random.uniform(1, 40), partial(self._day.start, place))
        for place in range(PROCESSES):
            self._at(at + 95, partial(self._day.start, place))

    def scene_cut_off(self, at: float) -> None:
        """Everything dies while messages are on their way out; no status tells of them."""
        account = self._random.choice(list(USERS))
        self._do(at, partial(self._tell_statuses, account, Pace(sent_s=None, delivered_s=None, read_s=None)))
        self._crowd(at, 8, account)
        for moment in (10, 25, 40):
            self._at(at + moment, self._cut_off)
        self._do(at + 60, partial(self._tell_statuses, account, Pace()))

    def scene_restarts(self, at: float) -> None:
        """One process after the other is stopped and started, as a new version is rolled out."""
        self._crowd(at, 10)
        for place in range(PROCESSES):
            self._do(at + 5 + 30 * place, partial(self._day.stop, place))
            self._at(at + 30 + 30 * place, partial(self._day.start, place))

    def _outage(self, at: float, length_s: float) -> None:
        """Nothing runs; users go on writing."""
        self._do(at, partial(setattr, self._day, "is_out", True))
        self._do(at + length_s - 1, partial(setattr, self._day, "is_out", False))
        for place in range(PROCESSES):
            self._do(at, partial(self._day.kill, place))
            self._at(at + length_s, partial(self._day.start, place))
        self._crowd(at + 20, 4)
        for _ in range(6):
            self._crowd(at + self._random.uniform(-20, length_s - 60), 4)
