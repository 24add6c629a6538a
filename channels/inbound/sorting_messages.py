"""What somebody said: it is stored in its conversation, opens the 24 hours, and a turn may begin.

Whether the bot answers is not decided here but when its turn begins; only what no turn may ever take up is set aside
at once: another handler's messages (standby), those beyond the plan's conversations, and our own people's.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.core.bot_config import BotConfig
from app.core.identity import new_uuid
from app.core.times import DAY_US
from app.storage import contacts, conversations, lanes, received
from app.storage.contacts import StoredContact
from app.storage.conversations import StoredConversation, StoredMessage
from app.storage.inbox import Event
from app.storage.numbers import StoredNumber
from app.storage.outbox import emit
from channels.conversations import people
from channels.conversations.contacts import find_or_make
from channels.conversations.conversing import config_of, place
from channels.conversations.people import CAP
from channels.inbound.sorting import DONE, NO_BOT, NO_SENDER, SECOND_US, Sorted, Sorting
from channels.whatsapp.updates import CHOICES, Call, Echo, Message

MINUTE_US: Final = 60 * SECOND_US
#: Kinds that take longer to make than to type, and that words often follow.
MEDIA: Final = frozenset({"image", "voice", "audio"})


def sort_message(sorting: Sorting, number: StoredNumber, event: Event, message: Message) -> Sorted:
    """A user has written."""
    if number.bot_id is None or not message.sender.aliases:
        return NO_BOT if number.bot_id is None else NO_SENDER
    db, tenant_id, at_us = sorting.db, sorting.tenant_id, sorting.at_us
    contact = find_or_make(db, tenant_id, number.id, message.sender, at_us)
    conversation = place(db, tenant_id, number, contact, at_us, sorting.plans)
    if not (conversation.autoreply or message.standby):
        _resume_after_silence(sorting, conversation)
    disposition = "standby" if message.standby else "cap" if conversation.flag == CAP else "open"
    stored = StoredMessage(
        id=new_uuid(event.received_us),
        conversation_id=conversation.id,
        role="user",
        content=message.text,
        message_type=message.kind,
        tokens_used=0,
        created_us=event.received_us,
        seq=event.seq,
        provider_us=told_us(event, message.at),
        provider_id=message.id,
        author="contact",
        author_id=contact.id,
        disposition=disposition,
        details=_details(message),
    )
    conversations.insert_message(db, tenant_id, stored)
    _open_window(sorting, contact, stored)
    _tell(sorting, conversation, contact, stored)
    if disposition != "open":
        return DONE
    config = config_of(db, tenant_id, conversation.bot_id)
    wait_us, most_us = patience(config, message.kind)
    lanes.touch(db, tenant_id, conversation.id, at_us, wait_us, most_us)
    return Sorted(lane=True)


def sort_call(sorting: Sorting, number: StoredNumber, event: Event, call: Call) -> Sorted:
    """A user calls on WhatsApp: a turn says that nobody takes calls here. How the call ends is of no interest."""
    if call.event != "connect":
        return DONE
    if number.bot_id is None or not call.caller.aliases:
        return NO_BOT if number.bot_id is None else NO_SENDER
    db, tenant_id, at_us = sorting.db, sorting.tenant_id, sorting.at_us
    contact = find_or_make(db, tenant_id, number.id, call.caller, at_us)
    conversation = place(db, tenant_id, number, contact, at_us, sorting.plans)
    is_over = conversation.flag == CAP
    stored = StoredMessage(
        id=new_uuid(event.received_us),
        conversation_id=conversation.id,
        role="user",
        content="",
        message_type="call",
        tokens_used=0,
        created_us=event.received_us,
        seq=event.seq,
        provider_us=told_us(event, call.at),
        provider_id=call.id,
        author="contact",
        author_id=contact.id,
        disposition="cap" if is_over else "open",
    )
    conversations.insert_message(db, tenant_id, stored)
    _open_window(sorting, contact, stored)
    _tell(sorting, conversation, contact, stored)
    if is_over:
        return DONE
    lanes.touch(db, tenant_id, conversation.id, at_us, 0, 0)
    return Sorted(lane=True)


def sort_echo(sorting: Sorting, number: StoredNumber, event: Event, echo: Echo) -> Sorted:
    """A person has answered from the business's own phone: the bot is silent from now on."""
    if number.bot_id is None or not echo.to.aliases:
        return NO_BOT if number.bot_id is None else NO_SENDER
    db, tenant_id, at_us = sorting.db, sorting.tenant_id, sorting.at_us
    if received.find_message(db, tenant_id, echo.id) is not None:
        return DONE  # we sent it ourselves
    contact = find_or_make(db, tenant_id, number.id, echo.to, at_us)
    conversation = place(db, tenant_id, number, contact, at_us, sorting.plans)
    stored = StoredMessage(
        id=new_uuid(event.received_us),
        conversation_id=conversation.id,
        role="assistant",
        content=echo.text,
        message_type=echo.kind,
        tokens_used=0,
        created_us=event.received_us,
        status="sent",
        seq=event.seq,
        provider_us=told_us(event, echo.at),
        provider_id=echo.id,
        author="phone",
        disposition="echo",
    )
    conversations.insert_message(db, tenant_id, stored)
    people.silence(db, tenant_id, conversation.id, at_us, escalate=False)
    return Sorted(lane=True)


def patience(config: BotConfig, kind: str) -> tuple[int, int]:
    """How long to wait for more after a message of this kind, and at most after the first, in microseconds."""
    if kind in CHOICES:
        return 0, 0
    seconds = config.debounce_seconds + (config.debounce_media_seconds if kind in MEDIA else 0.0)
    return round(seconds * SECOND_US), round(config.debounce_most_seconds * SECOND_US)


def told_us(event: Event, at_s: int) -> int:
    """When it happened, as the provider says; when it came, if it says nothing."""
    return at_s * SECOND_US if at_s > 0 else event.received_us


def _resume_after_silence(sorting: Sorting, conversation: StoredConversation) -> None:
    """The bot answers again when nobody has said anything for as long as it is set to leave the user to people."""
    db, tenant_id, at_us = sorting.db, sorting.tenant_id, sorting.at_us
    minutes = config_of(db, tenant_id, conversation.bot_id).resume_minutes
    if minutes and at_us - conversation.updated_us >= minutes * MINUTE_US:
        people.resume(db, tenant_id, conversation.id, at_us)


def _details(message: Message) -> str:
    found: dict[str, Any] = {
        "media": None if message.media is None else msgspec.to_builtins(message.media),
        "choice_id": message.choice_id,
        "reply_to": message.reply_to,
        "referral": message.referral,
        "standby": message.standby,
        "raw": message.details,
    }
    return msgspec.json.encode({name: value for name, value in found.items() if value}).decode()


def _open_window(sorting: Sorting, contact: StoredContact, stored: StoredMessage) -> None:
    """24 hours from when the user wrote. A provider's clock that is ahead of ours gives no more than ours does."""
    until_us = min(stored.provider_us, stored.created_us) + DAY_US
    if until_us > contact.window_us:
        contacts.open_window(sorting.db, sorting.tenant_id, contact.id, until_us)


def _tell(sorting: Sorting, conversation: StoredConversation, contact: StoredContact, stored: StoredMessage) -> None:
    data = {
        "conversation_id": conversation.id,
        "bot_id": conversation.bot_id,
        "channel": conversation.channel,
        "from": contact.phone or None,
        "user_id": contact.user_id or None,
        "message_id": stored.id,
        "type": stored.message_type,
        "text": stored.content,
    }
    emit(sorting.db, sorting.tenant_id, "message.received", data, sorting.at_us)
