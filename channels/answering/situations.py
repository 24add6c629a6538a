"""Reads everything that counts when a turn begins. Functions of a transaction."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from app.core.bot_config import BotConfig, read_config
from app.storage import bot_turns, bots, contacts, conversations, numbers
from app.storage.database import Transaction
from channels.answering.deciding import LOOP_US, Situation

#: Whether some model of a bot with this configuration sees images.
Sees = Callable[[BotConfig], bool]


def read_situation(db: Transaction, tenant_id: str, conversation_id: str, now_us: int, sees: Sees) -> Situation | None:
    """None for a conversation that no channel has."""
    conversation = conversations.find_conversation(db, tenant_id, conversation_id)
    if conversation is None:
        return None
    number = numbers.find_number(db, tenant_id, conversation.number_id)
    contact = contacts.find_contact(db, tenant_id, conversation.contact_id)
    if number is None or contact is None:
        return None
    bot = bots.find_bot(db, tenant_id, conversation.bot_id)
    config = read_config({} if bot is None else msgspec.json.decode(bot.config))
    begun, answered = bot_turns.since(db, tenant_id, conversation_id, now_us - LOOP_US)
    return Situation(
        now_us=now_us,
        conversation=conversation,
        bot=bot,
        config=config,
        number=number,
        contact=contact,
        inputs=bot_turns.open_inputs(db, tenant_id, conversation_id),
        answered_lately=answered,
        begun_lately=begun,
        own_phones=frozenset(each.phone for each in numbers.list_numbers(db, tenant_id) if each.phone),
        can_see=sees(config),
    )
