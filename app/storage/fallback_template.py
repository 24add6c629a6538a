"""What is done when the user's 24 hours turn out to be over, or the user wants no more: nothing is sent as text any
more, a person is told, and the bot's template goes out instead, once in 24 hours (channels.md sections 10.3 and 10.4).

A template that WhatsApp has paused or disabled is off at that number until the bot's configuration is set again.
"""

from __future__ import annotations

from typing import Final

import msgspec

from app.core.bot_config import TemplateChoice, read_config
from app.core.identity import new_uuid
from app.core.sends import TEMPLATE_UCR
from app.storage import bots, conversations, ledger, send_moves
from app.storage.conversations import StoredMessage
from app.storage.database import Transaction
from app.storage.send_moves import Change, StoredSend

EVERY_US: Final = 24 * 3600 * 1_000_000
#: What a contact's `notices` call it.
NOTICE: Final = "template"
FREE_FORM: Final = ("reply", "notice", "human")
#: What the turn of a template ends with that goes out by itself.
BY_ITSELF: Final = ":template"


class _Off(msgspec.Struct, frozen=True):
    """A template that is off, and what WhatsApp has said. A body of a send is read as one, too."""

    name: str
    language: str = "en"
    error: str = ""


def shut(db: Transaction, tenant_id: str, send: StoredSend, at_us: int) -> None:
    """The window is shut, whatever we thought: nothing else of this conversation goes out as text."""
    db.do(
        "UPDATE contacts SET window_until = ?, updated_at = ? WHERE tenant_id = ? AND window_until > ? AND id = "
        "(SELECT contact_id FROM conversations WHERE tenant_id = ? AND id = ?)",
        *(at_us, at_us, tenant_id, at_us, tenant_id, send.conversation_id),
    )
    rest = [
        each
        for each in send_moves.waiting(db, tenant_id, "conversation_id", send.conversation_id, FREE_FORM)
        if each.kind != "template"
    ]
    send_moves.drop(db, tenant_id, rest, "window_closed", at_us)
    tell_and_offer(db, tenant_id, send, at_us)


def tell_and_offer(db: Transaction, tenant_id: str, send: StoredSend, at_us: int) -> None:
    """Something was not sent because the window is shut: people see it, and a bot's user gets its template."""
    conversations.set_flag(db, tenant_id, send.conversation_id, "window_closed")
    if send.origin == "reply":
        _offer(db, tenant_id, send, at_us)


def opt_out(db: Transaction, tenant_id: str, send: StoredSend, at_us: int) -> None:
    """The user wants no more of this."""
    db.do(
        "UPDATE contacts SET opted_out_at = ?, updated_at = ? WHERE tenant_id = ? AND opted_out_at IS NULL AND id = "
        "(SELECT contact_id FROM conversations WHERE tenant_id = ? AND id = ?)",
        *(at_us, at_us, tenant_id, tenant_id, send.conversation_id),
    )


def switch_off(db: Transaction, tenant_id: str, send: StoredSend, error: str, at_us: int) -> None:
    """WhatsApp does not take this template any more: if it is the bot's it is not tried again from this number, by what
    waits neither, and people see why."""
    if send.kind != "template":
        return
    refused = msgspec.json.decode(send.body, type=_Off)
    conversation = conversations.find_conversation(db, tenant_id, send.conversation_id)
    bot = None if conversation is None else bots.find_bot(db, tenant_id, conversation.bot_id)
    template = None if bot is None else read_config(msgspec.json.decode(bot.config)).fallback_template
    if template is None or not _same(refused, template):
        return
    conversations.set_flag(db, tenant_id, send.conversation_id, "template_off")
    if why_off(db, tenant_id, send.number_id, template):
        return  # nothing waits with it any more, and of thousands that were under way each tells the same
    off = msgspec.json.encode(_Off(template.name, template.language, error)).decode()
    db.do("UPDATE numbers SET template_off = ? WHERE tenant_id = ? AND id = ?", off, tenant_id, send.number_id)
    for each in send_moves.queued_templates(db, tenant_id, send.number_id, BY_ITSELF):
        if _same(msgspec.json.decode(each.body, type=_Off), template):
            change = Change("dropped", reason="template_off", error=error)
            send_moves.move(db, tenant_id, each, change, at_us)
            conversations.set_flag(db, tenant_id, each.conversation_id, "template_off")


def switch_on(db: Transaction, tenant_id: str, bot_id: str) -> None:
    """The bot's template may be tried again at all of its numbers."""
    sql = "UPDATE numbers SET template_off = '' WHERE tenant_id = ? AND bot_id = ? AND template_off <> ''"
    db.do(sql, tenant_id, bot_id)


def why_off(db: Transaction, tenant_id: str, number_id: str, template: TemplateChoice) -> str:
    """What WhatsApp has said when it refused this template at this number; "" where it may be sent."""
    row = db.one("SELECT template_off FROM numbers WHERE tenant_id = ? AND id = ?", tenant_id, number_id)
    off = None if row is None or not row[0] else msgspec.json.decode(row[0], type=_Off)
    return off.error if off is not None and _same(off, template) else ""


def _same(off: _Off, template: TemplateChoice) -> bool:
    return (off.name, off.language) == (template.name, template.language)


def _offer(db: Transaction, tenant_id: str, send: StoredSend, at_us: int) -> None:
    row = db.one(
        "SELECT c.id, c.notices, c.opted_out_at, v.autoreply, b.config, b.is_active FROM conversations v "
        "JOIN contacts c ON c.tenant_id = v.tenant_id AND c.id = v.contact_id "
        "JOIN bots b ON b.tenant_id = v.tenant_id AND b.id = v.bot_id AND b.deleted_at IS NULL "
        "WHERE v.tenant_id = ? AND v.id = ?",
        *(tenant_id, send.conversation_id),
    )
    if row is None:
        return
    contact_id, noticed, opted_out_us, autoreply, config, active = row
    template = read_config(msgspec.json.decode(config)).fallback_template
    notices = msgspec.json.decode(noticed, type=dict[str, int])
    lately = notices.get(NOTICE, 0) > at_us - EVERY_US
    if template is None or lately or opted_out_us is not None or not autoreply or not active:
        return
    if why_off(db, tenant_id, send.number_id, template):
        return
    balance, held = ledger.balance(db, tenant_id)
    if balance - held < TEMPLATE_UCR:
        return
    _post(db, tenant_id, send, contact_id, template, at_us)
    told = msgspec.json.encode(notices | {NOTICE: at_us}).decode()
    db.do("UPDATE contacts SET notices = ? WHERE tenant_id = ? AND id = ?", told, tenant_id, contact_id)


def _post(
    db: Transaction, tenant_id: str, send: StoredSend, contact_id: str, template: TemplateChoice, at_us: int
) -> None:
    """The message that people see, and its one part. In a turn it comes once."""
    turn_id = send.turn_id + BY_ITSELF
    if db.one("SELECT 1 FROM sends WHERE tenant_id = ? AND turn_id = ?", tenant_id, turn_id) is not None:
        return
    last = db.one(
        "SELECT MAX(seq) FROM sends WHERE tenant_id = ? AND conversation_id = ?", tenant_id, send.conversation_id
    )
    message = StoredMessage(
        id=new_uuid(at_us),
        conversation_id=send.conversation_id,
        role="assistant",
        content=f"[{template.name}]",
        message_type="template",
        tokens_used=0,
        created_us=at_us,
        status="queued",
        seq=max(at_us * 1000, 1 + (last[0] or 0 if last else 0)),
        provider_us=at_us,
        author="bot",
        turn_id=turn_id,
    )
    conversations.insert_message(db, tenant_id, message)
    db.do(
        "INSERT INTO sends (tenant_id, id, seq, number_id, contact_id, conversation_id, message_id, turn_id, part, "
        "origin, kind, body, due_at, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, 'template', 'template', ?, ?, ?, ?)",
        *(tenant_id, new_uuid(at_us), message.seq, send.number_id, contact_id, send.conversation_id, message.id),
        *(turn_id, msgspec.json.encode(template).decode(), at_us, at_us, at_us),
    )
