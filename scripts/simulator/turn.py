"""One chat turn, fully decided: the answer, who speaks, what goes wrong, and when each token is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scripts.simulator.answers import Answer
from scripts.simulator.dialects.dialect import Dialect, Tokens
from scripts.simulator.triggers import Quirk, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What the shapers need. `pace` is tokens per second, 0 meaning at once; `top_logprobs` None means none asked."""

    dialect: Dialect
    trigger: Trigger
    answer: Answer
    id: str
    created: int
    model: str
    usage_asked: bool
    top_logprobs: int | None
    pace: float
    first_s: float

    def has(self, quirk: Quirk) -> bool:
        return quirk in self.trigger.quirks

    def due(self, tokens_before: int) -> float:
        """Seconds from the start of the answer to the token that has so many before it."""
        return self.first_s + (tokens_before / self.pace if self.pace else 0.0)

    def head(self, kind: str, number: int = 0) -> dict[str, Any]:
        """The keys every chunk and body begins with; `repeat_ids` gives each chunk its own id and model."""
        mark = f"-{number}" if self.has("repeat_ids") else ""
        identity = {"id": self.id + mark, "object": kind, "created": self.created, "model": self.model + mark}
        return identity | self.dialect.constants

    def usage(self) -> dict[str, Any] | None:
        """The usage object of the finished answer; None under `no_usage`."""
        if self.has("no_usage"):
            return None
        answer = self.answer
        counts = Tokens(answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens, answer.reasoning_tokens)
        return self.dialect.usage(Tokens(0, 0, 0, 0) if self.has("usage_zero") else counts)

    def running_usage(self, completion: int, reasoning: int) -> dict[str, Any]:
        """The usage object of what was generated so far."""
        return self.dialect.usage(Tokens(self.answer.prompt_tokens, self.answer.cached_tokens, completion, reasoning))

    def logprobs(self, text: str) -> dict[str, Any]:
        """A log probability for one piece, with as many alternatives as were asked for."""
        entry = {"token": text, "logprob": -0.25, "bytes": list(text.encode())}
        alternatives = [entry | {"logprob": -0.25 - rank} for rank in range(self.top_logprobs or 0)]
        return {"content": [entry | {"top_logprobs": alternatives}], "refusal": None}
