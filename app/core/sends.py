"""How far something that goes out has come, and which moves there are (channels.md section 7). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

State = Literal[
    "making",  # a voice note that is still being spoken
    "queued",
    "sending",
    "unknown",
    "accepted",
    "sent",
    "delivered",
    "read",
    "played",
    "failed",
    "dropped",
]
#: Whose it is; also the order in which they go out.
Origin = Literal["reply", "notice", "human", "template"]
Reason = Literal[
    "window_closed",
    "human_takeover",
    "bot_off",
    "superseded",
    "previous_part_failed",
    "number_error",
    "unknown_outcome",
    "too_old",
    "template_off",
]
#: Later is further; a status only ever moves a message on.
FURTHER: Final[tuple[State, ...]] = (
    "making",
    "queued",
    "sending",
    "unknown",
    "accepted",
    "sent",
    "delivered",
    "read",
    "played",
)
FINAL: Final[frozenset[State]] = frozenset({"failed", "dropped"})
#: What the provider has.
GONE: Final[frozenset[State]] = frozenset({"accepted", "sent", "delivered", "read", "played"})
#: Codes of Meta and of Twilio that say that the 24 hours are over, whether they come as an answer or as a status.
WINDOW_CODES: Final = frozenset({"131047", "63016"})
#: Codes that say that the user wants no more of it.
OPT_OUT_CODES: Final = frozenset({"131050", "21610"})
#: Codes that say that we have written it wrongly.
CONTENT_CODES: Final = frozenset({"100", "131008", "131009", "131051", "21617", "21658", "63005", "63021"})
#: Codes that say that its file could not be had.
MEDIA_CODES: Final = frozenset({"131052", "131053", "63019"})
#: Codes that say that a template is paused, disabled or against the rules.
TEMPLATE_OFF_CODES: Final = frozenset({"132007", "132015", "132016"})
#: What a template costs when it has been delivered: 0.12 credits (channels.md section 7.7).
TEMPLATE_UCR: Final = 120_000
#: The window is taken for shut so long before its end (channels.md section 10.2).
SHUT_EARLY_US: Final = 60_000_000


def moved(now: State, told: State) -> State:
    """Where a message is that was at `now` when the provider tells `told`. What has arrived cannot fail any more."""
    if now == "dropped":
        return now
    if told == "failed":
        return now if now in ("delivered", "read", "played", "failed") else "failed"
    if now == "failed":
        return now
    return told if FURTHER.index(told) > FURTHER.index(now) else now


def message_status(parts: Iterable[State]) -> State:
    """How far a message has come whose parts are here: failed as soon as one is, else as far as the last of them.

    Parts that were dropped do not hold up the others; with nothing but such parts the message is dropped.
    """
    states = set(parts)
    if "failed" in states:
        return "failed"
    return min(states - {"dropped"}, key=FURTHER.index, default="dropped")
