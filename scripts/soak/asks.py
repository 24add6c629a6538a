"""What each call of the crowd asks and how its client behaves; the same numbers every time. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

Kind = Literal["plain", "odd", "fault", "hang"]
#: How a client behaves: it stays, leaves after so many bytes (inside its own request, too), or stops reading.
Manner = Literal["stays", "leaves", "leaves in request", "stuck"]

#: Nothing but restarts may make these fail.
HEALTHY: Final = ("openai/gpt-5.4-mini", "anthropic/claude-haiku-4.5", "kimi-k2.6", "glm-4.7-flash", "sarvam-30b")
#: Their providers misbehave on cue, so that breakers open and routes change.
FRAGILE: Final = ("kimi-k2.5-fast", "sarvam-105b", "gpt-oss-120b", "nemotron-3-super", "openai/gpt-5.4")
FAULTS: Final = (
    *("500", "502", "503", "529", "html_500", "404", "429", "context_length", "content_policy", "bad_request"),
    *("late_error:100", "error_200", "close_before_body", "bad_first_chunk", "invalid_json_body", "eof_mid", "end_mid"),
    *("rst_mid", "error_mid", "empty_answer"),
)
#: What ends only when the client leaves.
HANGS: Final = ("hang_headers", "hang_headers_after_accept", "hang_mid", "hang_before_done")
#: Answers that come whole although something is odd about them.
ODD: Final = (
    *("noisy_headers", "usage_zero", "no_usage", "usage_each_chunk", "no_role", "role_each_chunk", "repeat_ids"),
    *("length", "split_utf8", "drop_after_usage"),
)
LEAVING: Final = 0.30
STUCK: Final = 0.05
#: One in so many who stop reading asks for more than the sockets between hold, so that the gateway has to wait.
DEEP_EVERY: Final = 40
DEEP_TOKENS: Final = 18_000
FRAGILE_SHARE: Final = 0.2
FAULT_SHARE: Final = 0.4
HANG_SHARE: Final = 0.1
ODD_SHARE: Final = 0.08
STREAMED: Final = 0.65
PACES: Final = (20, 40, 60)
#: About as many bytes as an answer has, in its head and for each token: a client leaves before that.
HEAD_BYTES: Final = 400
TOKEN_BYTES: Final = 200
LONGEST_STAY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Ask:
    """One call. `cut_at` is in bytes; `stay_s` is how long a client waits that leaves without a byte."""

    tag: str
    model: str
    streamed: bool
    kind: Kind
    cues: str
    manner: Manner
    cut_at: int
    stay_s: float
    resets: bool
    keeps: bool

    @property
    def waits_s(self) -> float | None:
        """How long its client waits, if it leaves by the clock: a provider that hangs, an answer in one piece."""
        by_clock = self.kind == "hang" or (self.manner == "leaves" and not self.streamed)
        return self.stay_s if by_clock else None

    def body(self) -> bytes:
        """The JSON of the request; the provider's book knows it by its tag."""
        words = f"[tag={self.tag}] {self.cues} Tell me about the weather."
        messages = [{"role": "user", "content": words}]
        return msgspec.json.encode({"model": self.model, "messages": messages, "stream": self.streamed})


def ask(number: int, seed: int) -> Ask:
    dice = random.Random(f"{seed}-{number}")  # noqa: S311 - a crowd, not a secret
    tag = f"s{seed}-{number}"
    is_fragile = dice.random() < FRAGILE_SHARE
    kind, trigger = _kind(dice, tag, is_fragile=is_fragile)
    manner = _manner(dice, kind)
    streamed = manner == "stuck" or dice.random() < STREAMED
    tokens, pace = dice.randint(1, 70), dice.choice(PACES) if dice.random() < 0.8 else 0
    if trigger == "split_utf8":
        tokens = 2  # every byte is a write of its own
    if manner == "stuck" and dice.randrange(DEEP_EVERY) == 0:
        tokens, pace = DEEP_TOKENS, 0
    cues = f"[tokens={tokens}] [pace={pace}]" + (f" [mock={trigger}]" if trigger else "")
    return Ask(
        tag=tag,
        model=dice.choice(FRAGILE if is_fragile else HEALTHY),
        streamed=streamed,
        kind=kind,
        cues=cues,
        manner=manner,
        cut_at=dice.randint(1, HEAD_BYTES + tokens * (TOKEN_BYTES if streamed else 4)),
        stay_s=dice.uniform(0.0, LONGEST_STAY_S),
        resets=dice.random() < 0.3,
        keeps=dice.random() < 0.5,
    )


def _kind(dice: random.Random, tag: str, *, is_fragile: bool) -> tuple[Kind, str]:
    """The kind of call and the provider's cue for it."""
    chance = dice.random()
    if not is_fragile:
        return ("odd", dice.choice(ODD)) if chance < ODD_SHARE else ("plain", "")
    if chance < FAULT_SHARE:
        return "fault", dice.choice((*FAULTS, f"fail_once:{tag}"))
    if chance < FAULT_SHARE + HANG_SHARE:
        return "hang", dice.choice(HANGS)
    return "plain", ""


def _manner(dice: random.Random, kind: Kind) -> Manner:
    chance = dice.random()
    if kind == "hang" or chance < LEAVING:
        return "leaves in request" if kind != "hang" and chance < LEAVING / 10 else "leaves"
    return "stuck" if chance < LEAVING + STUCK and kind == "plain" else "stays"
