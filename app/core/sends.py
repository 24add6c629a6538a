"""How far something that goes out has come, and which moves there are (channels.md section 7). Pure."""

from __future__ import annotations

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
#: What has been given to the provider, or may have been.
GONE: Final[frozenset[State]] = frozenset({"accepted", "sent", "delivered", "read", "played"})


def moved(now: State, told: State) -> State:
    """Where a message is that was at `now` when the provider tells `told`. What has arrived cannot fail any more."""
    if now == "dropped":
        return now
    if told == "failed":
        return now if now in ("delivered", "read", "played", "failed") else "failed"
    if now == "failed":
        return now
    return told if FURTHER.index(told) > FURTHER.index(now) else now
