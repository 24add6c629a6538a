"""What a request for one body meets before it is answered: its key, its cues, and a trigger that refuses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scripts.simulator.chat import Asked, refusal, refused
from scripts.simulator.cues import CueError, Cues, read_cues
from scripts.simulator.script import Script
from scripts.simulator.triggers import Trigger, choose


def admitted(
    asked: Asked, model: str, text: str, named: Callable[[Cues], Sequence[str]]
) -> tuple[Cues, Trigger] | Script:
    """The cues of `text` and the trigger that those `named` choose, or the script of a request that goes no further.

    Its record learns model, tag and triggers.
    """
    record = asked.record
    record.model = model
    if not asked.dialect.credited(asked.headers):
        return refusal(asked.dialect, "bad_key")
    try:
        cues = read_cues(model, text)
        record.tag, record.triggers = cues.tag, cues.triggers
        trigger = choose(named(cues), asked.book.first_time)
    except CueError as problem:
        return refusal(asked.dialect, "bad_request", str(problem))
    if trigger.refusal is not None:
        return refused(asked.dialect, trigger.refusal, trigger)
    if trigger.stop == "headers":
        return Script(silent=True, ending=trigger.ending, fault=True)
    return cues, trigger
