"""Plays a day and says what was wrong with it."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import structlog
import trio
from trio.testing import MockClock

from channels.answering import hearing, lanes, voicing
from channels.conversations import people
from channels.inbound import sorter
from channels.outbound import senders
from tests.channels.day import speech
from tests.channels.day.checks import faults
from tests.channels.day.script import Script
from tests.channels.day.world import Day
from tests.databases import open_view

#: Errors are printed, too.
LOUD: Final = "DAY_LOUD" in os.environ
#: Other processes' work is noticed a little later than it would be: a day has many quarters of a second.
LOOK_EVERY_S: Final = 1.0
#: After the last thing that happens so much time may pass until everything is at rest: the provider tells us again what
#: it could not tell us in hours of outage at pauses as long.
COOL_S: Final = 12 * 3600.0


def played(
    url: str, folder: Path, seed: int, *, hours: float, scenes: int, names: Sequence[str] = (), cool_s: float = COOL_S
) -> tuple[Day, dict[str, list[str]]]:
    """The day, and what is wrong by the names of the checks. It is the same for the same seed on SQLite."""
    day = Day(url, folder, Random(seed))
    clock = MockClock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", day.traffic.run_sync)
        for service in (lanes, senders, sorter):
            patch.setattr(service, "LOOK_EVERY_S", LOOK_EVERY_S)
        patch.setattr(hearing, "plan_transcription", lambda *_: None)
        patch.setattr(hearing, "run_transcription", speech.run_transcription)
        patch.setattr(voicing, "run_speech", speech.run_speech)
        patch.setattr(people, "silence", partial(_silence, day, people.silence))
        patch.setattr(trio._core._run, "_r", Random(seed))
        before = structlog.get_config()
        structlog.configure(
            processors=[partial(_listen, day), *before["processors"]],
            wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        )
        try:
            script = Script(day, Random(seed), hours, scenes, names)
            trio.run(day.play, script.events, cool_s, clock, clock=clock)
        finally:
            structlog.configure(**before)
    with open_view(url) as day.view:
        return day, faults(day)


def _listen(day: Day, _logger: Any, _level: str, event: dict[str, Any]) -> dict[str, Any]:
    """Errors of ours are noted; all others are those that the day is about."""
    if event["event"].endswith("crashed"):
        day.crashed.append(f"{event['event']}: {event.get('errors')}")
    if not LOUD:
        raise structlog.DropEvent
    return event


def _silence(day: Day, silence: Any, db: Any, tenant_id: str, conversation_id: str, at_us: int, **more: Any) -> None:
    silence(db, tenant_id, conversation_id, at_us, **more)
    day.silenced.append((conversation_id, at_us))
