"""Whether an answer is still to come, as the platform API tells of the conversation. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

#: Of a message of ours that is on its way.
GOING: Final = frozenset({"making", "queued", "sending", "unknown"})
#: Why a message was not answered, by its disposition; {bot} is the bot's name.
REASONS: Final[Mapping[str, str]] = {
    "human": "a person has taken over, and {bot} is silent until /resume",
    "unsupported": "{bot} does not understand this kind of message",
    "unheard": "the recording was not understood",
    "standby": "another handler answers this number",
    "reaction": "a reaction is not answered",
    "bot_off": "{bot} is switched off",
    "number_off": "the number has another bot now, or its autoreply is off",
    "no_prompt": "{bot} has no system_prompt",
    "no_credits": "the credits are used up, or a limit of them is reached",
    "window_closed": "the 24-hour window is shut",
    "too_late": "the message is too old to be answered",
    "loop": "{bot} has answered too often in the last ten minutes",
    "cap": "the plan's conversations of this month are used up",
    "failed": "the model gave no answer",
    "revoked": "the message was deleted",
}
#: Their answers come as texts of their own.
ANSWERED: Final = frozenset({"answered", "handoff"})
SILENT: Final = "{bot} has handed over to a person and is silent from now on; /resume lets it answer again"
FLAGS: Final[Mapping[str, str]] = {"loop": " (two machines might be talking)", "failed": " (it had no answers)"}


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of the conversation: `waiting` messages of ours, why others are not answered, who is silent."""

    waiting: frozenset[str]
    reasons: Mapping[str, str]
    is_coming: bool = False
    is_silent: bool = False
    flag: str = ""
    #: What was understood of recordings.
    heard: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Nothing more will come of itself."""
        return not (self.waiting or self.is_coming)


def find_conversation(page: Mapping[str, Any], number_id: str, phone: str) -> Mapping[str, Any] | None:
    """The one that changed last of this user at this number, of a page of them."""
    for one in page["data"]:
        if one["number_id"] == number_id and one["external_id"] == phone:
            return dict(one)
    return None


def look(
    conversation: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], asked: Collection[str], bot: str
) -> Look:
    """What has become of the messages `asked`, by their ids at the provider."""
    told = {message["wamid"]: message["disposition"] for message in messages if message["role"] == "user"}
    waiting = frozenset(wamid for wamid in asked if told.get(wamid) in (None, "open"))
    reasons = {
        wamid: REASONS.get(why, why).format(bot=bot)
        for wamid in asked
        if wamid not in waiting and (why := str(told[wamid])) not in ANSWERED
    }
    heard = {each["wamid"]: each["content"] for each in messages if each["is_transcript"] and each["wamid"] in asked}
    is_coming = any(message["role"] == "assistant" and message["status"] in GOING for message in messages)
    is_silent = not conversation["ai_autoreply_enabled"]
    return Look(waiting, reasons, is_coming, is_silent, conversation["flag"] or "", heard)
