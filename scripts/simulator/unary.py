"""Answers that are one body: what a trigger makes of a search, an image or a list of vectors.

A trigger may be meant for one provider: `[mock=500@exa]` is for exa alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import msgspec

from scripts.simulator.admitting import admitted
from scripts.simulator.chat import NOISY, Asked
from scripts.simulator.cues import Cues
from scripts.simulator.script import JSON, Headers, Script, Step, json_script
from scripts.simulator.triggers import Trigger

HTML_PAGE: Final = b"<!DOCTYPE html><html><body>maintenance</body></html>"


@dataclass(frozen=True, slots=True)
class Body:
    """A good answer's body, the same with nothing in it, and what the provider counted for it."""

    full: bytes
    empty: bytes
    headers: Headers = JSON
    usage: dict[str, Any] | None = None
    tokens: int = 0


def json_body(full: Any, empty: Any, usage: dict[str, Any] | None = None) -> Body:
    return Body(msgspec.json.encode(full), msgspec.json.encode(empty), usage=usage)


def answer_whole(asked: Asked, model: str, text: str, make: Callable[[], Body]) -> Script:
    """The script of a request whose words are `text`; its record learns model, tag and triggers."""
    found = admitted(asked, model, text, partial(_meant, asked))
    if isinstance(found, Script):
        return found
    cues, trigger = found
    return _played(asked, trigger, cues, make())


def _meant(asked: Asked, cues: Cues) -> list[str]:
    parted = (name.partition("@") for name in cues.triggers)
    return [name for name, _, provider in parted if provider in ("", asked.dialect.name)]


def _played(asked: Asked, trigger: Trigger, cues: Cues, body: Body) -> Script:
    quirks = trigger.quirks
    headers = body.headers + (NOISY if "noisy_headers" in quirks else ())
    if trigger.error:
        return replace(json_script(asked.dialect.envelope(asked.dialect.errors["server_error"])), fault=True)
    data = body.empty if "empty_answer" in quirks else body.full
    broken = bool(quirks & {"invalid_json_body", "bad_first_chunk"})
    if "html" in quirks:
        data, headers = HTML_PAGE, (("content-type", "text/html"),)
    cut = broken or trigger.stop == "content"
    spoilt = bool(quirks & {"html", "empty_answer"})
    length = len(data)
    sent = data[: length // 2] if cut else data
    proper = trigger.ending == "end"
    due = (cues.first_ms or 0.0) / 1000
    step = Step(sent, due, 0 if cut else body.tokens, None if cut else body.usage)
    return Script(
        headers=headers,
        steps=() if trigger.stop == "body" else (step,),
        length=len(sent) if proper else length,
        ending=trigger.ending,
        fault=cut or spoilt or trigger.stop in ("headers", "body"),
    )
