"""Scenes that only some of the numbers know: those whose bots hear and speak, and the one at Twilio."""

from __future__ import annotations

from functools import partial
from typing import Final

from scripts.simulator.whatsapp.faults import Occasion, Order
from scripts.simulator.whatsapp.state import Pace
from tests.channels.day.doings import Doings
from tests.channels.day.houses import ALOUD, TWILIO, provider_of
from tests.channels.day.model import EVERYTHING
from tests.channels.day.speech import HARD_OF_HEARING, HOARSE, WELL

#: What may go wrong with a file.
FAULTS: Final = ("refuse", "reset", "hang", "error_500", "garbage", "slow")
#: Codes for a file that cannot be sent, in the answer or later.
UNSENDABLE: Final = {"meta": (131052, 131053), "twilio": (63019, 63021)}
#: So long after a user has written the provider takes the window for shut.
AFTER_S: Final = (0.1, 1, 2, 3, 5)


class ScenesApart(Doings):
    """Part of the script."""

    def scene_speech(self, at: float) -> None:
        """Those who hear or speak are ill, busy, silent, or break off."""
        ill = self._random.choice([(HARD_OF_HEARING, WELL), (WELL, HOARSE), (HARD_OF_HEARING, HOARSE)])
        self._speech(at, 90, *ill)
        for account in sorted(ALOUD):
            self._crowd(at, 8, account)

    def scene_files(self, at: float) -> None:
        """Files cannot be fetched from the provider, be given to it, or be sent."""
        occasions: tuple[Occasion, ...] = ("download", "look_up", "upload")
        for account in sorted(ALOUD):
            for _ in range(8):
                order = Order(self._random.choice(FAULTS), left=self._random.choice([1, 2, 5]), delay_s=6.0)
                order.on = self._random.choice(occasions)
                self._do(at + self._random.uniform(0, 40), partial(self._order, account, order))
            for fault in ("refuse", "fail_later"):
                code = self._random.choice(UNSENDABLE[provider_of(account)])
                order = Order(fault, code, left=self._random.choice([1, 3]), skip=self._random.randint(0, 4))
                self._do(at + self._random.uniform(0, 30), partial(self._order, account, order))
            self._crowd(at, 8, account)

    def scene_links(self, at: float) -> None:
        """What a provider wants to fetch from us does not reach it."""
        self._do(at, lambda: setattr(self._day, "lost_acks", 0.5))
        self._do(at + 60, lambda: setattr(self._day, "lost_acks", 0.0))
        self._mood(at, 60, EVERYTHING)
        self._crowd(at, 10, TWILIO)

    def scene_asked(self, at: float) -> None:
        """Twilio tells nothing, neither in its answers nor later: it is asked what it has."""
        self._do(at, partial(self._tell_statuses, TWILIO, Pace(sent_s=None, delivered_s=None, read_s=None)))
        for fault in ("reset", "reset_accepted", "hang", "hang_accepted") * 3:
            order = Order(fault, skip=self._random.randint(0, 2))
            self._do(at + self._random.uniform(0, 30), partial(self._order, TWILIO, order))
        self._crowd(at, 10, TWILIO)
        self._do(at + 60, partial(self._tell_statuses, TWILIO, Pace()))

    def scene_shut(self, at: float) -> None:
        """Twilio takes the window of some for shut while they are answered: for them it is, until they write again."""
        for account, who in self._some(6, TWILIO):
            start = at + self._random.uniform(0, 20)
            self._say(start, account, who, [self._words(account)])
            self._do(start + self._random.choice(AFTER_S), partial(self._day.shut_window, account, who))
            self._say(start + self._random.uniform(5, 15), account, who, [self._text()])
