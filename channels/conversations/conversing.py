"""Which conversation something that came belongs to: the one that goes on, or a new one. Functions of a transaction.

A conversation ends when nothing was said in it for as long as its bot says, when a person ends it, or when the number
is given to another bot; the next message begins another (channels.md section 3.3). One that people have taken over
(`escalated`) goes on until they end it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from app.core.bot_config import BotConfig, read_config
from app.core.identity import new_uuid
from app.core.times import EPOCH, MICROSECOND
from app.storage import bots, contacts, conversation_ages, conversations, received
from app.storage.contacts import StoredContact
from app.storage.conversations import StoredConversation
from app.storage.database import Transaction
from app.storage.numbers import StoredNumber
from app.storage.outbox import emit
from catalog.plans import Plan
from channels.conversations.contacts import shown_as
from channels.conversations.people import CAP

Plans = Callable[[], Mapping[str, Plan]]
HOUR_US: Final = 3_600_000_000
OPEN: Final = ("active", "escalated")


def config_of(db: Transaction, tenant_id: str, bot_id: str) -> BotConfig:
    """Of a bot that was deleted: what every bot begins with."""
    bot = bots.find_bot(db, tenant_id, bot_id)
    return read_config({} if bot is None else msgspec.json.decode(bot.config))


def place(
    db: Transaction, tenant_id: str, number: StoredNumber, contact: StoredContact, at_us: int, plans: Plans
) -> StoredConversation:
    """The conversation that goes on with this contact, or a new one. The number has a bot."""
    bot_id = number.bot_id or ""
    found = _current(db, tenant_id, contact)
    if found is not None and found.status == "active":
        patience_us = config_of(db, tenant_id, found.bot_id).idle_hours * HOUR_US
        if found.bot_id != bot_id or at_us - found.updated_us >= patience_us:
            end(db, tenant_id, found, at_us)
            found = None
    if found is None:
        return _begin(db, tenant_id, number, contact, at_us, plans)
    if found.external_id != shown_as(contact):
        received.set_external_id(db, tenant_id, found.id, shown_as(contact))
    conversations.set_updated(db, tenant_id, found.id, at_us)
    return _checked(db, tenant_id, found, at_us, plans) if found.flag == CAP else found


def end(db: Transaction, tenant_id: str, conversation: StoredConversation, at_us: int) -> None:
    """Nobody says anything any more."""
    conversations.set_status(db, tenant_id, conversation.id, "completed", at_us)
    tell(db, tenant_id, "conversation.ended", conversation, at_us)


def tell(db: Transaction, tenant_id: str, event: str, conversation: StoredConversation, at_us: int) -> None:
    """What webhooks hear of a conversation that begins or ends."""
    contact = contacts.find_contact(db, tenant_id, conversation.contact_id)
    data = {
        "conversation_id": conversation.id,
        "bot_id": conversation.bot_id,
        "channel": conversation.channel,
        "from": (contact.phone if contact else "") or None,
        "user_id": (contact.user_id if contact else "") or None,
    }
    emit(db, tenant_id, event, data, at_us)


def _current(db: Transaction, tenant_id: str, contact: StoredContact) -> StoredConversation | None:
    """The contact's own, or another that they brought along when two contacts turned out to be one."""
    for conversation_id in filter(
        None, (contact.conversation_id, conversation_ages.newest_open(db, tenant_id, contact.id))
    ):
        found = conversations.find_conversation(db, tenant_id, conversation_id)
        if found is not None and found.status in OPEN:
            return found
    return None


def _begin(
    db: Transaction, tenant_id: str, number: StoredNumber, contact: StoredContact, at_us: int, plans: Plans
) -> StoredConversation:
    conversation = StoredConversation(
        id=new_uuid(at_us),
        bot_id=number.bot_id or "",
        channel="whatsapp",
        external_id=shown_as(contact),
        status="active",
        duration_seconds=None,
        metadata="{}",
        autoreply=True,
        created_us=at_us,
        updated_us=at_us,
        number_id=number.id,
        contact_id=contact.id,
    )
    conversations.insert_conversation(db, tenant_id, conversation)
    contacts.set_conversation(db, tenant_id, contact.id, conversation.id, at_us)
    tell(db, tenant_id, "conversation.started", conversation, at_us)
    return _checked(db, tenant_id, conversation, at_us, plans)


def _checked(
    db: Transaction, tenant_id: str, conversation: StoredConversation, at_us: int, plans: Plans
) -> StoredConversation:
    """Flagged as long as the plan has no room for it among the conversations of the month."""
    plan = plans().get(conversation_ages.plan_of(db, tenant_id))
    most = None if plan is None else plan.conversations
    flag = conversation.flag if conversation.flag != CAP else ""
    if most is not None:
        since_us, begun_us = _month_of(at_us), conversation.created_us
        if conversation_ages.begun_besides(db, tenant_id, conversation.id, since_us, begun_us, most) >= most:
            flag = CAP
    if flag != conversation.flag:
        conversations.set_flag(db, tenant_id, conversation.id, flag)
    return conversation._replace(flag=flag)


def _month_of(at_us: int) -> int:
    """When the calendar month began, in UTC."""
    moment = EPOCH + at_us * MICROSECOND
    return (datetime.datetime(moment.year, moment.month, 1, tzinfo=datetime.UTC) - EPOCH) // MICROSECOND
