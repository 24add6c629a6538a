"""Something to say in a conversation: the message that people see, and the parts that go out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.core.identity import new_uuid
from app.core.sends import Origin, State
from app.providers.whatsapp.line import Content
from app.storage import conversations, sends
from app.storage.conversations import StoredMessage
from app.storage.database import Transaction
from app.storage.sends import NewSend
from channels.conversations import contents

#: Numbers for what comes and goes within one microsecond.
STEPS: int = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is said."""

    tenant_id: str
    conversation_id: str
    contact_id: str
    number_id: str


@dataclass(frozen=True, slots=True)
class Saying:
    """What is said: `text` as people read it in the inbox, and the parts that the user gets, in order.

    `turn_id` with the part's number is unique: what was said in a turn cannot be said again. `state` is `making` for a
    voice note that has yet to be spoken.
    """

    text: str
    parts: Sequence[Content]
    turn_id: str
    origin: Origin
    message_type: str = "text"
    author: str = "bot"
    author_id: str = ""
    tokens: int = 0
    details: str = "{}"
    state: State = "queued"
    #: Provider id of the message that is answered.
    reply_to: str = ""


def post(db: Transaction, place: Place, saying: Saying, at_us: int) -> str:
    """Write it down to be sent; the id of the message."""
    message_id = new_uuid(at_us)
    first = max(at_us * STEPS, _last(db, place) + 1)
    message = StoredMessage(
        id=message_id,
        conversation_id=place.conversation_id,
        role="assistant",
        content=saying.text,
        message_type=saying.message_type,
        tokens_used=saying.tokens,
        created_us=at_us,
        status="queued",
        seq=first,
        provider_us=at_us,
        author=saying.author,
        author_id=saying.author_id,
        turn_id=saying.turn_id,
        details=saying.details,
    )
    conversations.insert_message(db, place.tenant_id, message)
    conversations.set_updated(db, place.tenant_id, place.conversation_id, at_us)
    for number, content in enumerate(saying.parts):
        kind, body = contents.write(content, reply_to="" if number else saying.reply_to)
        send = NewSend(
            id=new_uuid(at_us),
            seq=first + number,
            number_id=place.number_id,
            contact_id=place.contact_id,
            conversation_id=place.conversation_id,
            message_id=message_id,
            turn_id=saying.turn_id,
            part=number + 1,
            origin=saying.origin,
            kind=kind,
            body=body,
            state=saying.state,
        )
        sends.insert(db, place.tenant_id, send, at_us)
    return message_id


def _last(db: Transaction, place: Place) -> int:
    """What is said now comes behind all that was said, even by a process whose clock is ahead."""
    where = (place.tenant_id, place.conversation_id)
    return max(sends.last_seq(db, *where), conversations.last_seq(db, *where))
