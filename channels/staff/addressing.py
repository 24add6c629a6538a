"""To whom a person or a key writes: which number, which contact, which conversation, and whether that may be now.

Functions of a transaction; what they refuse is refused before anything is written down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.core.errors import Problem
from app.core.whatsapp_api import Addressed
from app.storage import contacts as stored_contacts
from app.storage import sent_messages
from app.storage.contacts import StoredContact
from app.storage.conversations import StoredConversation
from app.storage.database import Transaction
from app.storage.numbers import StoredNumber
from app.storage.sent_messages import Ahead
from app.usecases.conversations import found_conversation
from channels.answering.deciding import SHUT_EARLY_US
from channels.conversations import contacts
from channels.conversations.conversing import Plans, place
from channels.numbers.connections import connected, found_number
from channels.outbound.pacing import PAIR
from channels.whatsapp.updates import Person

SECOND_US: Final = 1_000_000
#: What would wait longer than that is refused (channels.md section 8.4).
LONGEST_WAIT_S: Final = 60.0
SHUT: Final = (
    "The user has not written within 24 hours, so only a template can be sent: POST /api/v1/whatsapp/template."
)


@dataclass(frozen=True, slots=True)
class Addressee:
    """`reply_to` is the provider's id of the message that is answered, "" for none."""

    number: StoredNumber
    contact: StoredContact
    conversation: StoredConversation
    reply_to: str = ""


def addressee(db: Transaction, tenant_id: str, new: Addressed, at_us: int, plans: Plans, *, opens: bool) -> Addressee:
    """`opens`: it may begin a conversation with somebody who has not written; anything else needs the open window.

    Raises Problem 400, 404, 409, 422 `window_closed`.
    """
    found = _by_conversation(db, tenant_id, new) if new.conversation_id else None
    if found is None:
        found = _by_name(db, tenant_id, new, at_us, plans, opens=opens)
    elif not opens:
        check_window(db, tenant_id, found.contact.id, at_us)
    if found.number.state == "error":
        raise Problem("conflict", f"The number is not connected: {found.number.error} Check it in the settings.")
    if new.reply_to is None:
        return found
    answered = _answered(db, tenant_id, new.reply_to, found.contact)
    return Addressee(found.number, found.contact, found.conversation, answered)


def check_window(db: Transaction, tenant_id: str, contact_id: str, at_us: int) -> None:
    """Raises Problem 422 when the 24 hours after the user's last message are over, or a minute before they are."""
    contact = stored_contacts.find_contact(db, tenant_id, contact_id)
    if contact is None or contact.window_us - SHUT_EARLY_US <= at_us:
        raise Problem("window_closed", SHUT)


def check_pace(ahead: Ahead, to: Addressee, parts: int, at_us: int) -> None:
    """Raises Problem 429 when it would wait for more than a minute behind what goes the same way. Pure."""
    last_us = max(at_us, to.contact.tat_us) + (ahead.to_contact + parts) * PAIR.interval_us - PAIR.window_us
    wait_s = max((last_us - at_us) / SECOND_US, ahead.from_number / max(1, to.number.per_second))
    if wait_s > LONGEST_WAIT_S:
        raise Problem(
            "rate_limit_exceeded",
            f"This would be sent in {wait_s:.0f} s only, since so much waits to be sent before it. Send it later.",
            retry_after_s=wait_s - LONGEST_WAIT_S,
        )


def _by_conversation(db: Transaction, tenant_id: str, new: Addressed) -> Addressee:
    conversation = found_conversation(db, tenant_id, new.conversation_id or "")
    contact = stored_contacts.find_contact(db, tenant_id, conversation.contact_id)
    if contact is None:
        raise Problem("invalid_value", "Nobody on WhatsApp is in this conversation.", "conversation_id")
    if new.number_id not in (None, conversation.number_id):
        raise Problem("invalid_value", "The conversation is on another number: leave number_id out.", "number_id")
    try:
        number = found_number(db, tenant_id, conversation.number_id)
    except Problem:
        raise Problem("conflict", "The number of this conversation was disconnected.") from None
    return Addressee(number, contact, conversation)


def _by_name(db: Transaction, tenant_id: str, new: Addressed, at_us: int, plans: Plans, *, opens: bool) -> Addressee:
    name = new.to or ""
    person = Person(phone=name) if name.startswith("+") else Person(user_id=name)
    number = _number(db, tenant_id, new.number_id, person)
    if number.bot_id is None:
        raise Problem("conflict", "No bot is linked to this number, so there are no conversations on it. Link one.")
    if opens:
        contact = contacts.find_or_make(db, tenant_id, number.id, person, at_us)
    else:
        known = stored_contacts.known_as(db, tenant_id, number.id, person.aliases)
        if not known:
            raise Problem("window_closed", SHUT)
        contact = known[person.aliases[0]]
        check_window(db, tenant_id, contact.id, at_us)
    return Addressee(number, contact, place(db, tenant_id, number, contact, at_us, plans))


def _number(db: Transaction, tenant_id: str, number_id: str | None, person: Person) -> StoredNumber:
    """The number that is named; else the only one, or the only one that knows the person."""
    if number_id is not None:
        return found_number(db, tenant_id, number_id)
    numbers = connected(db, tenant_id)
    if not numbers:
        raise Problem("conflict", "No number is connected: POST /api/v1/whatsapp/numbers first.")
    if len(numbers) > 1:
        numbers = [each for each in numbers if stored_contacts.known_as(db, tenant_id, each.id, person.aliases)]
    if len(numbers) != 1:
        raise Problem("missing_required_parameter", "There are several numbers: say which by number_id.", "number_id")
    return numbers[0]


def _answered(db: Transaction, tenant_id: str, message_id: str, contact: StoredContact) -> str:
    """What the provider calls the message that is answered. Raises Problem 404 for one of somebody else."""
    message = sent_messages.find_message(db, tenant_id, message_id)
    if message is None or found_conversation(db, tenant_id, message.conversation_id).contact_id != contact.id:
        raise Problem("not_found", "There is no message with this id in the conversation.", "reply_to")
    names = [part.provider_id for part in sent_messages.parts_of(db, tenant_id, message_id)]
    known = message.provider_id or next(filter(None, names), "")
    if not known:
        raise Problem("conflict", "The message that is answered has not left yet.", "reply_to")
    return known
