"""How a turn is written down: its beginning, each of its ends, and the notices on the way. Functions of a transaction.

Every one of them looks first whether this process still has the conversation: what it writes without that would be said
twice (channels.md sections 4.1 and 6.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import msgspec

from app.core.errors import Problem
from app.core.sends import TEMPLATE_UCR
from app.core.times import DAY_US
from app.providers.whatsapp.line import TemplateContent, TextContent
from app.storage import bot_turns, bots, contacts, conversations, fallback_template, lanes, ledger, numbers
from app.storage.conversations import StoredMessage
from app.storage.database import Transaction
from channels.answering.deciding import MOST_ATTEMPTS, Notice, Situation, Verdict, decide, due, silenced, turn_id
from channels.answering.situations import Sees, read_situation
from channels.conversations import people
from channels.conversations.posting import Place, Saying, post
from channels.whatsapp.text_form import PART_LIMITS, split

#: Why a turn makes room for another one.
MORE: Final = "the user has written more"
TAKEN_OVER: Final = "a person has taken over"
#: The bot, or its number.
SWITCHED_OFF: Final = "the bot was switched off"
#: Why one ended that nobody has ended.
DIED: Final = "the process died"
#: So many turns in a row that failed, and people are called.
MOST_FAILURES: Final = 2


class Overtaken(Problem):
    """The turn is no longer ours to end: others have the conversation, a person has taken over, more has come, or the
    bot is off; `disposition` is why its messages are not answered then.
    """

    def __init__(self, why: str, disposition: str = "") -> None:
        super().__init__("conflict", f"The turn was given up: {why}.")
        self.why = why
        self.disposition = disposition


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn that runs, and what it goes by. `legs` is what it has done already, by name, in JSON: it grows."""

    place: Place
    owner: str
    situation: Situation
    turn_id: str
    inputs: Sequence[StoredMessage]
    late: bool
    history: Sequence[StoredMessage]
    legs: dict[str, str]
    #: Changes of the lane that it knows of.
    seen: int
    at_us: int
    #: What hearing, models and functions took this time, in milliseconds: it grows.
    spent_ms: dict[str, int] = field(default_factory=dict)

    @property
    def tenant_id(self) -> str:
        return self.place.tenant_id

    def spend(self, part: str, took_s: float) -> None:
        self.spent_ms[part] = self.spent_ms.get(part, 0) + round(took_s * 1000)


class Over(NamedTuple):
    """Nothing is left to answer. `seen` changes of the lane are dealt with; `turn_id` is of a turn that ended here."""

    seen: int
    turn_id: str = ""


def begin(db: Transaction, tenant_id: str, conversation_id: str, owner: str, now_us: int, sees: Sees) -> Begun | Over:
    """Begin the turn that is due, if there is something to answer. Raises Overtaken when the lane is another's."""
    lane = lanes.find(db, tenant_id, conversation_id)
    if lane is None or lane.owner != owner:
        raise Overtaken("another process has the conversation")
    situation = read_situation(db, tenant_id, conversation_id, now_us, sees)
    if situation is None:
        bot_turns.dispose_open(db, tenant_id, conversation_id, "bot_off")
        bot_turns.end_others(db, tenant_id, conversation_id, "", "dropped", DIED, now_us)
        return Over(lane.touched)
    verdict = decide(situation)
    place = Place(tenant_id, conversation_id, situation.contact.id, situation.number.id)
    _set_aside(db, place, situation, verdict)
    if not verdict.inputs:
        bot_turns.end_others(db, tenant_id, conversation_id, "", "dropped", DIED, now_us)
        return Over(lane.touched)
    identity, inputs = _next(db, tenant_id, conversation_id, verdict.inputs, now_us)
    bot_turns.end_others(db, tenant_id, conversation_id, identity, "superseded", DIED, now_us)
    names = msgspec.json.encode([message.id for message in inputs]).decode()
    attempts = bot_turns.begin_turn(db, tenant_id, identity, conversation_id, names, now_us)
    begun = Begun(
        place=place,
        owner=owner,
        situation=situation,
        turn_id=identity,
        inputs=inputs,
        late=verdict.late,
        history=bot_turns.history(db, tenant_id, situation.contact.id, situation.config.history_messages),
        legs=bot_turns.legs(db, tenant_id, identity),
        seen=lane.touched if len(inputs) == len(verdict.inputs) else lane.touched - 1,
        at_us=now_us,
    )
    if attempts > MOST_ATTEMPTS:
        fail(db, begun, "crashed", now_us)
        return Over(begun.seen, identity)
    return begun


def _next(
    db: Transaction, tenant_id: str, conversation_id: str, inputs: Sequence[StoredMessage], now_us: int
) -> tuple[str, Sequence[StoredMessage]]:
    """Which turn begins, and with what: one that has paid for something and died goes on as it was, so that nothing is
    paid for or done twice. What came after it is the next turn's.
    """
    paid = bot_turns.paid_for(db, tenant_id, conversation_id, now_us - DAY_US)
    if paid is not None:
        its_own = msgspec.json.decode(paid.inputs, type=set[str])
        left = [message for message in inputs if message.id in its_own]
        if left:
            return paid.id, left
    return turn_id(conversation_id, inputs), inputs


def check_ours(db: Transaction, begun: Begun, *, may_restart: bool) -> None:
    """Whether this turn may still be answered. Raises Overtaken.

    One that has paid for something or called a function makes no room for what the user has written meanwhile.
    """
    place = begun.place
    if not lanes.holds(db, place.tenant_id, place.conversation_id, begun.owner):
        raise Overtaken("another process has the conversation")
    _check_speaks(db, place)
    waiting = {message.id for message in bot_turns.open_inputs(db, place.tenant_id, place.conversation_id)}
    ours = {message.id for message in begun.inputs}
    if not ours <= waiting:
        raise Overtaken("the user has taken a message back")
    if may_restart and not begun.legs and waiting - ours:
        raise Overtaken(MORE)


def _check_speaks(db: Transaction, place: Place) -> None:
    """Whoever switches a bot or a number off writes to none of its conversations: their turns look for themselves."""
    conversation = conversations.find_conversation(db, place.tenant_id, place.conversation_id)
    number = numbers.find_number(db, place.tenant_id, place.number_id)
    if conversation is None or number is None:
        raise Overtaken(SWITCHED_OFF, "bot_off")
    reason = silenced(bots.find_bot(db, place.tenant_id, conversation.bot_id), number, conversation)
    if reason:
        raise Overtaken(TAKEN_OVER if reason == "human" else SWITCHED_OFF, reason)


def answer(db: Transaction, begun: Begun, saying: Saying, facts: Mapping[str, Any], now_us: int) -> str:
    """The turn is answered: what is said goes out, its messages wait no longer. The id of the answer."""
    place = begun.place
    bot_turns.dispose(db, place.tenant_id, [message.id for message in begun.inputs], "answered", begun.turn_id)
    _end(db, begun, "answered", "", now_us, facts)
    conversations.set_failed_turns(db, place.tenant_id, place.conversation_id, 0)
    return post(db, place, saying, now_us)


def fail(db: Transaction, begun: Begun, reason: str, now_us: int) -> None:
    """No answer could be had: the bot's own words instead, free of charge; people are called after two in a row."""
    place, situation = begun.place, begun.situation
    ids = [message.id for message in begun.inputs]
    unpaid = reason == "no_credits"
    bot_turns.dispose(db, place.tenant_id, ids, "no_credits" if unpaid else "failed", begun.turn_id)
    _end(db, begun, "failed", reason, now_us)
    config = situation.config
    words = Notice("unavailable", config.unavailable_message) if unpaid else Notice("fallback", config.fallback_message)
    tell(db, place, situation, [words], begun.turn_id)
    if unpaid:
        conversations.set_status(db, place.tenant_id, place.conversation_id, "escalated", now_us)
        conversations.set_flag(db, place.tenant_id, place.conversation_id, reason)
        return
    failures = situation.conversation.failed_turns + 1
    conversations.set_failed_turns(db, place.tenant_id, place.conversation_id, failures)
    if failures >= MOST_FAILURES:
        people.hand_over(db, place.tenant_id, place.conversation_id, now_us, flag="failed_turns")


def drop(db: Transaction, begun: Begun, reason: str, now_us: int) -> None:
    """The turn has nothing left to answer."""
    _end(db, begun, "dropped", reason, now_us)


def give_up(db: Transaction, begun: Begun, overtaken: Overtaken, now_us: int) -> bool:
    """The turn ends without an answer of its own; what it was to answer goes on as others have decided.

    False when it is another's by now.
    """
    ours = lanes.holds(db, begun.tenant_id, begun.place.conversation_id, begun.owner)
    if ours:
        why = overtaken.why
        _end(db, begun, "superseded" if why == MORE else "dropped", why, now_us)
        if overtaken.disposition:
            ids = [message.id for message in begun.inputs]
            bot_turns.dispose(db, begun.tenant_id, ids, overtaken.disposition, begun.turn_id)
    return ours


def tell(db: Transaction, place: Place, situation: Situation, notices: Sequence[Notice], key: str) -> None:
    """Send the bot's own words, each kind as seldom as it may come."""
    now_us = situation.now_us
    contact = contacts.find_contact(db, place.tenant_id, place.contact_id)
    sent = msgspec.json.decode((contact or situation.contact).notices, type=dict[str, int])
    wanted = due(notices, sent, now_us)
    limit = PART_LIMITS["meta" if situation.number.provider == "meta" else "twilio"]
    for notice in wanted:
        parts = [TextContent(part) for part in split(notice.text, limit)]
        said = Saying(notice.text, parts, f"{key}:{notice.kind}", "notice", "notice")
        post(db, place, said, now_us)
        sent[notice.kind] = now_us
    if wanted:
        contacts.set_notices(db, place.tenant_id, place.contact_id, msgspec.json.encode(sent).decode(), now_us)


def _set_aside(db: Transaction, place: Place, situation: Situation, verdict: Verdict) -> None:
    tenant_id, conversation_id, now_us = place.tenant_id, place.conversation_id, situation.now_us
    for message_id, disposition in verdict.aside.items():
        bot_turns.dispose(db, tenant_id, [message_id], disposition)
    if verdict.hand_over:
        people.hand_over(db, tenant_id, conversation_id, now_us, flag=verdict.flag)
    elif verdict.flag:
        conversations.set_flag(db, tenant_id, conversation_id, verdict.flag)
    aside = [message for message in situation.inputs if message.id in verdict.aside]
    key = turn_id(conversation_id, aside)
    if verdict.template and situation.config.fallback_template is not None:
        _send_template(db, place, situation, key)
    tell(db, place, situation, verdict.notices, key)


def _send_template(db: Transaction, place: Place, situation: Situation, key: str) -> None:
    """At most once in 24 hours, outside of the window as inside of it; to nobody who wants none, on nobody's debt."""
    template = situation.config.fallback_template
    sent = msgspec.json.decode(situation.contact.notices, type=dict[str, int])
    notice = Notice("template", "template")
    if template is None or situation.contact.opted_out_us is not None or not due([notice], sent, situation.now_us):
        return
    if fallback_template.why_off(db, place.tenant_id, place.number_id, template):
        return
    balance, held = ledger.balance(db, place.tenant_id)
    if balance - held < TEMPLATE_UCR:
        return
    content = TemplateContent(template.name, template.language, tuple(template.components), template.variables)
    post(
        db, place, Saying(f"[{template.name}]", [content], f"{key}:template", "template", "template"), situation.now_us
    )
    sent["template"] = situation.now_us
    notices = msgspec.json.encode(sent).decode()
    contacts.set_notices(db, place.tenant_id, place.contact_id, notices, situation.now_us)


def _end(
    db: Transaction, begun: Begun, state: str, reason: str, now_us: int, facts: Mapping[str, Any] | None = None
) -> None:
    """With how long it took: from the newest message to the beginning and to the end, and the parts in between."""
    newest_us = max(message.created_us for message in begun.inputs)
    took = {
        "waited_ms": max(0, begun.at_us - newest_us) // 1000,
        **{f"{part}_ms": took_ms for part, took_ms in begun.spent_ms.items()},
        "total_ms": max(0, now_us - newest_us) // 1000,
    }
    encoded = msgspec.json.encode({**(facts or {}), **took}).decode()
    bot_turns.end_turn(db, begun.tenant_id, begun.turn_id, state, reason, now_us, encoded)


def later(situation: Situation, now_us: int) -> Situation:
    """The same situation at a later time: for what is written at the end of a turn."""
    return replace(situation, now_us=now_us)
