"""Whether a bot answers, and what becomes of each message that it does not answer (channels.md sections 4 to 13). Pure.

Everything that counts is read in one transaction as a `Situation`; `decide` says what to do about it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from app.core.bot_config import BotConfig
from app.storage.bots import StoredBot
from app.storage.contacts import StoredContact
from app.storage.conversations import StoredConversation, StoredMessage
from app.storage.numbers import StoredNumber
from channels.answering.understanding import answerable

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
#: The 24 hours are treated as over so much earlier.
SHUT_EARLY_US: Final = MINUTE_US
#: A conversation in which a bot answers so often in so short a time is one of two machines.
LOOP_TURNS: Final = 20
#: Of those that begin not every one is answered, and only that is paid for: this is what may be begun in that time.
LOOP_BEGUN: Final = 60
LOOP_US: Final = 10 * MINUTE_US
#: Each kind of notice is sent to a contact at most once in so long.
GAPS_US: Final[Mapping[str, int]] = {
    "unsupported": 10 * MINUTE_US,
    "unheard": 0,
    "unavailable": 24 * HOUR_US,
    "handoff": 0,
    "greeting": 0,
    "calls": 24 * HOUR_US,
    "fallback": 0,
    "template": 24 * HOUR_US,
}
NoticeKind = Literal["unsupported", "unheard", "unavailable", "handoff", "greeting", "calls", "fallback", "template"]
MOST_ATTEMPTS: Final = 2


@dataclass(frozen=True, slots=True)
class Notice:
    """Words of the bot's own that are no model's; free of charge."""

    kind: NoticeKind
    text: str


@dataclass(frozen=True, slots=True)
class Situation:
    """A conversation when its turn may begin. `bot` is None when it was deleted."""

    now_us: int
    conversation: StoredConversation
    bot: StoredBot | None
    config: BotConfig
    number: StoredNumber
    contact: StoredContact
    inputs: Sequence[StoredMessage]
    #: Turns of this conversation that were answered within `LOOP_US`.
    answered_lately: int = 0
    #: All that began in that time, also those that made room for another or whose messages were taken back.
    begun_lately: int = 0
    #: The organisation's own numbers: their bots do not talk to each other.
    own_phones: frozenset[str] = frozenset()
    #: Some model of this bot sees images.
    can_see: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """`inputs` are to be answered together; `aside` says of the others why not, by message id."""

    inputs: tuple[StoredMessage, ...] = ()
    aside: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    #: The bot is silent from now on and people are called; `flag` is why.
    hand_over: bool = False
    flag: str = ""
    #: Nothing but a template may be sent.
    template: bool = False
    #: The answer begins with an apology.
    late: bool = False


def decide(situation: Situation) -> Verdict:
    """What to do about the messages that wait."""
    if not situation.inputs:
        return Verdict()
    return _past(situation) or _not_for_the_model(situation) or _sorted_out(situation)


def turn_id(conversation_id: str, inputs: Sequence[StoredMessage]) -> str:
    """The same inputs make the same turn, in any process, at any time."""
    names = "\n".join([conversation_id, *(message.id for message in inputs)])
    return "turn_" + hashlib.sha256(names.encode()).hexdigest()[:32]


def due(notices: Sequence[Notice], sent_us: Mapping[str, int], now_us: int) -> list[Notice]:
    """Those that have words and were not sent to this contact just now."""
    return [
        notice
        for notice in notices
        if notice.text.strip() and now_us - sent_us.get(notice.kind, -GAPS_US[notice.kind]) >= GAPS_US[notice.kind]
    ]


def silenced(bot: StoredBot | None, number: StoredNumber, conversation: StoredConversation) -> str:
    """Why the bot says nothing at all in this conversation, "" when it may."""
    if bot is None or not bot.is_active:
        return "bot_off"
    if not bot.system_prompt.strip():
        return "no_prompt"
    if not number.autoreply or number.bot_id != bot.id:
        return "number_off"
    return "" if conversation.autoreply else "human"


def _past(situation: Situation) -> Verdict | None:
    """The bot may not answer, or it is too late to."""
    inputs, now = situation.inputs, situation.now_us
    reason = silenced(situation.bot, situation.number, situation.conversation)
    if reason:
        return Verdict(aside=_all(inputs, reason))
    if situation.contact.window_us - SHUT_EARLY_US <= now:
        return Verdict(aside=_all(inputs, "window_closed"), flag="window_closed", template=True)
    if _age_us(situation) > situation.config.too_late_minutes * MINUTE_US:
        return Verdict(aside=_all(inputs, "too_late"), flag="too_late")
    return None


def _not_for_the_model(situation: Situation) -> Verdict | None:
    """Another machine writes, or somebody who wants a person."""
    inputs, config = situation.inputs, situation.config
    if situation.contact.phone in situation.own_phones:
        return Verdict(aside=_all(inputs, "loop"))
    if situation.answered_lately >= LOOP_TURNS or situation.begun_lately >= LOOP_BEGUN:
        return Verdict(aside=_all(inputs, "loop"), hand_over=True, flag="loop")
    if any(_asks_for_person(message, config) for message in inputs):
        notices = (Notice("handoff", config.handoff_message),)
        return Verdict(aside=_all(inputs, "handoff"), notices=notices, hand_over=True, flag="handoff")
    return None


def _age_us(situation: Situation) -> int:
    """Of the newest message."""
    return situation.now_us - max(message.provider_us for message in situation.inputs)


def _sorted_out(situation: Situation) -> Verdict:
    config, bot = situation.config, situation.bot
    late = _age_us(situation) > config.late_minutes * MINUTE_US
    wanted: list[StoredMessage] = []
    aside: dict[str, str] = {}
    notices: dict[str, Notice] = {}
    for message in situation.inputs:
        if message.message_type == "welcome":
            aside[message.id] = "answered"
            notices["greeting"] = Notice("greeting", config.greeting)
        elif message.message_type == "call":
            aside[message.id] = "unsupported"
            notices["calls"] = Notice("calls", config.calls_message)
        else:
            kind = answerable(message, bot.type if bot else "", config, can_see=situation.can_see)
            if kind in ("unsupported", "ignore"):
                aside[message.id] = "unsupported"
            if kind == "unsupported":
                notices["unsupported"] = Notice("unsupported", config.unsupported_message)
            if message.id not in aside:
                wanted.append(message)
    return Verdict(tuple(wanted), aside, tuple(notices.values()), late=late and bool(wanted))


def _asks_for_person(message: StoredMessage, config: BotConfig) -> bool:
    said = message.content.strip().strip(".!?").casefold()
    return said in {word.strip().casefold() for word in config.handoff_keywords}


def _all(inputs: Sequence[StoredMessage], disposition: str) -> dict[str, str]:
    return {message.id: disposition for message in inputs}
