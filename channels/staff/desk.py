"""What people and keys do in conversations: write, send a template, a file or a menu, take over, hand back.

Everything that may refuse a message is looked at in the transaction that writes it down; from there on the senders have
it. Whoever writes silences the bot in that conversation unless they say otherwise; a template does not, since nobody is
there yet to be taken over from (channels.md section 13).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import trio

from app.core.conversations import Conversation, Status
from app.core.errors import Problem
from app.core.identity import Clock, Visitor, new_uuid, now_us
from app.core.money import credits_from_ucr
from app.core.sends import TEMPLATE_UCR, Origin
from app.core.times import iso_time
from app.core.whatsapp_api import (
    Addressed,
    NewInteractive,
    NewMedia,
    NewTemplate,
    NewText,
    Queued,
    SendPart,
    SentMessage,
    check_address,
    check_media,
    check_size,
    interactive_text,
)
from app.providers.whatsapp.line import Content, InteractiveContent, MediaContent, TemplateContent, TextContent
from app.storage import conversations, ledger, sends, sent_messages
from app.storage.conversations import StoredConversation, StoredMessage
from app.storage.database import Database, Transaction
from app.storage.numbers import StoredNumber
from app.usecases.conversations import found_conversation, shown_conversation
from channels.bell import Bell
from channels.conversations import people
from channels.conversations.conversing import Plans, end
from channels.conversations.posting import Place, Saying, post
from channels.staff.addressing import Addressee, addressee, check_pace, check_window
from channels.whatsapp.text_form import PART_LIMITS, split

#: Cutting the longest text takes a tenth of a second: a longer one than this is cut in a thread.
SHORT_TEXT: Final = 4096
Parts = Callable[[StoredNumber], list[Content]]


@dataclass(frozen=True, slots=True)
class _Wish:
    """What somebody wants to send; what goes out of it depends on the provider."""

    new: Addressed
    text: str
    message_type: str
    origin: Origin = "human"
    silences: bool = True


class Desk:
    """Messages of any tenant's people; `visitor` says whose and who."""

    def __init__(self, db: Database, *, plans: Plans, senders_bell: Bell, clock: Clock = now_us) -> None:
        self._db = db
        self._plans = plans
        self._bell = senders_bell
        self._clock = clock

    async def send_text(self, visitor: Visitor, new: NewText) -> Queued:
        """Raises Problem 400, 404, 409, 422 `window_closed`, 429; nothing has been written then."""
        texts = _cut(new.text) if len(new.text) <= SHORT_TEXT else await trio.to_thread.run_sync(_cut, new.text)
        if not all(texts.values()):
            raise Problem("invalid_value", "text has nothing in it that can be seen.", "text")

        def parts(number: StoredNumber) -> list[Content]:
            return [TextContent(part, new.preview_url) for part in texts[number.provider]]

        return await self._send(visitor, _Wish(new, new.text, "text"), parts)

    async def send_template(self, visitor: Visitor, new: NewTemplate) -> Queued:
        """To anybody, at any time. Raises Problem as `send_text`, and 402 when a template could not be paid for."""
        check_size(new.components, "components")
        check_size(new.variables, "variables")
        content = TemplateContent(new.name, new.language, tuple(new.components), new.variables)

        def parts(number: StoredNumber) -> list[Content]:
            foreign = {"meta": "variables", "twilio": "components"}[number.provider]
            if getattr(new, foreign):
                message = f"{foreign} is not for templates of {number.provider.title()}."
                raise Problem("invalid_value", message, foreign)
            return [content]

        return await self._send(visitor, _Wish(new, f"[{new.name}]", "template", "template", silences=False), parts)

    async def send_media(self, visitor: Visitor, new: NewMedia) -> Queued:
        """Raises Problem as `send_text`."""
        check_media(new)
        content = MediaContent(new.kind, link=new.link, caption=new.caption, filename=new.filename)
        text = new.caption or f"[{new.kind}: {new.filename or new.link}]"
        return await self._send(visitor, _Wish(new, text, new.kind), lambda _number: [content])

    async def send_interactive(self, visitor: Visitor, new: NewInteractive) -> Queued:
        """Raises Problem as `send_text`."""
        check_size(new.interactive, "interactive")
        text = interactive_text(new.interactive)

        def parts(number: StoredNumber) -> list[Content]:
            if number.provider != "meta":
                message = "Twilio takes no interactive messages: send a template that has been stored there."
                raise Problem("invalid_value", message, "interactive")
            return [InteractiveContent(new.interactive)]

        return await self._send(visitor, _Wish(new, text, "interactive"), parts)

    async def show(self, tenant_id: str, message_id: str) -> SentMessage:
        """How far it has come. Raises Problem 404."""
        return await self._db.read(tenant_id, lambda db: _sent(db, tenant_id, message_id))

    async def resend(self, tenant_id: str, message_id: str) -> SentMessage:
        """Send once more what nobody knows to have arrived. Raises Problem 404, 409 if there is nothing such, 422."""
        at = self._clock()

        def write(db: Transaction) -> SentMessage:
            message = _message(db, tenant_id, message_id)
            conversation = found_conversation(db, tenant_id, message.conversation_id)
            if message.message_type != "template":
                check_window(db, tenant_id, conversation.contact_id, at)
            if not sends.send_again(db, tenant_id, message_id, at):
                raise Problem("conflict", "Only a message whose outcome is unknown can be sent again.")
            return _sent(db, tenant_id, message_id)

        sent = await self._db.write(tenant_id, write)
        self._bell.ring()
        return sent

    async def set_autoreply(self, tenant_id: str, conversation_id: str, *, enabled: bool) -> Conversation:
        """Let the bot answer the next message, or stop it at once. Raises Problem 404."""
        at = self._clock()

        def change(db: Transaction, _found: StoredConversation) -> None:
            if enabled:
                people.resume(db, tenant_id, conversation_id, at)
            else:
                people.silence(db, tenant_id, conversation_id, at, escalate=False)

        return await self._change(tenant_id, conversation_id, change)

    async def set_status(self, tenant_id: str, conversation_id: str, status: Status) -> Conversation:
        """Webhooks are told of a conversation that ends by it. Raises Problem 404."""
        at = self._clock()

        def change(db: Transaction, found: StoredConversation) -> None:
            if status == "completed" and found.status != "completed":
                end(db, tenant_id, found, at)
            else:
                conversations.set_status(db, tenant_id, conversation_id, status, at)

        return await self._change(tenant_id, conversation_id, change)

    async def _change(
        self, tenant_id: str, conversation_id: str, change: Callable[[Transaction, StoredConversation], None]
    ) -> Conversation:
        def write(db: Transaction) -> StoredConversation:
            change(db, found_conversation(db, tenant_id, conversation_id))
            return found_conversation(db, tenant_id, conversation_id)

        return shown_conversation(tenant_id, await self._db.write(tenant_id, write))

    async def _send(self, visitor: Visitor, wish: _Wish, parts: Parts) -> Queued:
        check_address(wish.new)
        tenant_id, at = visitor.tenant_id, self._clock()

        def write(db: Transaction) -> Queued:
            to = addressee(db, tenant_id, wish.new, at, self._plans, opens=wish.origin == "template")
            contents = parts(to.number)
            ahead = sent_messages.ahead(db, tenant_id, to.number.id, to.contact.id)
            if wish.origin == "template":
                _check_balance(db, tenant_id, ahead.templates)
            check_pace(ahead, to, len(contents), at)
            if wish.silences if wish.new.silence_bot is None else wish.new.silence_bot:
                people.silence(db, tenant_id, to.conversation.id, at, escalate=False)
            place = Place(tenant_id, to.conversation.id, to.contact.id, to.number.id)
            message_id = post(db, place, _saying(visitor, wish, to, contents, at), at)
            return Queued(message_id, to.conversation.id, "queued", len(contents), [])

        queued = await self._db.write(tenant_id, write)
        self._bell.ring()
        return queued


def _cut(text: str) -> dict[str, list[str]]:
    """The parts of a text at each provider."""
    return {provider: split(text, limit) for provider, limit in PART_LIMITS.items()}


def _saying(visitor: Visitor, wish: _Wish, to: Addressee, contents: Sequence[Content], at_us: int) -> Saying:
    key = visitor.key
    return Saying(
        text=wish.text,
        parts=contents,
        turn_id=f"by hand {new_uuid(at_us)}",
        origin=wish.origin,
        message_type=wish.message_type,
        author="member" if key is None else "key",
        author_id=visitor.user_id if key is None else key.key_id,
        details=msgspec.json.encode({"reply_to": to.reply_to} if to.reply_to else {}).decode(),
        reply_to=to.reply_to,
    )


def _check_balance(db: Transaction, tenant_id: str, waiting: int) -> None:
    """Raises Problem 402 when a template could not be paid for on its delivery, after those that wait before it."""
    whole, held = ledger.balance(db, tenant_id)
    if whole - held < (waiting + 1) * TEMPLATE_UCR:
        raise Problem(
            "insufficient_credits",
            f"A template costs {credits_from_ucr(TEMPLATE_UCR)} credits when it is delivered, and the balance does not "
            f"cover this one and the {waiting} that wait to be sent. Top up.",
            headers={"X-Credits-Balance": f"{whole / 1e6:.6f}"},
        )


def _sent(db: Transaction, tenant_id: str, message_id: str) -> SentMessage:
    """Raises Problem 404 for what was not sent on WhatsApp."""
    message, parts = _message(db, tenant_id, message_id), sent_messages.parts_of(db, tenant_id, message_id)
    return SentMessage(
        message_id=message.id,
        conversation_id=message.conversation_id,
        status=message.status,
        parts=[
            SendPart(
                part=part.part,
                status=part.state,
                wamid=part.provider_id or None,
                reason=part.reason or None,
                error=part.error or None,
                attempts=part.attempts,
                updated_at=iso_time(part.updated_us),
            )
            for part in parts
        ],
        wamids=[part.provider_id for part in parts if part.provider_id],
        created_at=iso_time(message.created_us),
    )


def _message(db: Transaction, tenant_id: str, message_id: str) -> StoredMessage:
    message = sent_messages.find_message(db, tenant_id, message_id)
    if message is None or message.role != "assistant":
        raise Problem("not_found", "There is no message of yours with this id.")
    return message
