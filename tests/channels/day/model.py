"""The model of the day's bots: what it answers names the messages that it was asked to answer, so that every answer can
be traced from the phone back to what was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Literal

import msgspec
import trio

from app.core.billing import Bill
from app.core.call_facts import Marks
from app.core.errors import Problem
from app.core.identity import Principal
from app.storage.database import Row
from app.usecases.meter import Ask, Meter
from channels.answering.asking import Answer, Settling, ToolCall
from tests.books import PLENTY

COST: Final = 70
HOLD: Final = 100
#: What each of the users' messages says somewhere.
TOKEN: Final = re.compile(r"q\d+z")
Act = Literal["answer", "long", "slow", "tool", "choices", "handoff", "fail", "busy", "hang"]
Mood = dict[Act, int]
CALM: Final[Mood] = {"answer": 12, "long": 1, "tool": 1, "choices": 1}
SLOW: Final[Mood] = {"answer": 2, "slow": 6}
ILL: Final[Mood] = {"answer": 3, "fail": 4, "busy": 2, "hang": 1}
EVERYTHING: Final[Mood] = {"answer": 10, "long": 2, "slow": 2, "tool": 3, "choices": 2, "fail": 1, "busy": 1}
#: Function, arguments.
PRICE: Final = ("price", '{"of": "a lamp"}')


@dataclass
class Model:
    """`inputs_of` reads the texts of a turn's inputs."""

    random: Random
    inputs_of: Callable[[str], list[str]]
    mood: Mood = field(default_factory=lambda: dict(CALM))
    asked: int = 0
    flying: int = 0
    #: Turns in which it failed, was busy or hung.
    troubled: set[str] = field(default_factory=set)
    #: Questions in which a message of the turn was not to be found.
    forgotten: list[Row] = field(default_factory=list)

    async def ask(
        self, meter: Meter, principal: Principal, body: dict[str, Any], marks: Marks, settling: Settling
    ) -> Answer:
        """As `channels.answering.asking.ask` does it: a hold, the model's time, one charge."""
        wanted = Ask("whatsapp", "llm", "kimi-k2.5", False, HOLD, "req_1", PLENTY, marks=marks)
        async with meter.open_call(principal, wanted) as call:
            self.flying += 1
            try:
                text, calls = await self._think(body, marks.trace_id)
            finally:
                self.flying -= 1
            answer = Answer(call.id, "kimi-k2.5", text, calls, 12)
            await call.post(Bill("completed", COST, "provider_usage", "B5"), settling(answer))
            return answer

    async def _think(self, body: dict[str, Any], turn_id: str) -> tuple[str, list[ToolCall]]:
        self.asked += 1
        number = self.asked
        asked = msgspec.json.encode([each for each in body["messages"] if each["role"] == "user"][-1:]).decode()
        inputs = self.inputs_of(turn_id)
        tokens = [token for text in inputs for token in TOKEN.findall(text)]
        self.forgotten += [(turn_id, token) for token in tokens if token not in asked]
        moods = [act for act, weight in self.mood.items() for _ in range(weight)]
        act: Act = self.random.choice(moods)
        text = f"answer {number}n to {' '.join(tokens)}"
        await trio.sleep(self.random.uniform(25, 110) if act == "slow" else self.random.uniform(0.3, 6))
        match act:
            case "fail":
                self.troubled.add(turn_id)
                raise Problem("provider_error", "The model is ill.")
            case "busy":
                self.troubled.add(turn_id)
                raise Problem("rate_limit_exceeded", "Too much at once.", retry_after_s=2.0)
            case "hang":
                self.troubled.add(turn_id)
                await trio.sleep_forever()
            case "long":
                text = "\n\n".join([text, *(f"Page {page} of {number}. " + "word " * 700 for page in range(2, 6))])
            case "tool" if "tools" in body:
                return "", [ToolCall(f"call_{number}", *PRICE)]
            case "choices" if _offers(body, "reply_buttons"):
                chosen = msgspec.json.encode({"text": text, "choices": ["Yes", "No"]}).decode()
                return "", [ToolCall(f"call_{number}", "reply_buttons", chosen)]
            case "handoff" if _offers(body, "handoff"):
                return text, [ToolCall(f"call_{number}", "handoff", '{"reason": "asked"}')]
            case _:
                pass
        return text, []


def _offers(body: dict[str, Any], name: str) -> bool:
    return any(tool["function"]["name"] == name for tool in body.get("tools", ()))
