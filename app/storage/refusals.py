"""What is done about one of ours that the provider refuses for good, whether it says so at once or in a status: a dead
letter for what we wrote wrongly, and the text of a file that nobody can have.
"""

from __future__ import annotations

from typing import Final

import msgspec

from app.core.identity import new_uuid
from app.storage import conversations, dead_letters, numbers, send_moves
from app.storage.database import Transaction
from app.storage.dead_letters import DeadLetter
from app.storage.send_moves import StoredSend

#: What the bot says by itself, and not any more when a person answers.
OF_BOTS: Final = frozenset({"reply", "notice"})


class _File(msgspec.Struct):
    """What is looked at of a file's body, as `channels.conversations.contents` writes it."""

    otherwise: str = ""


def bury(db: Transaction, tenant_id: str, send: StoredSend, error: str, at_us: int) -> None:
    """The provider does not take what we wrote: people may see what it was."""
    number = numbers.find_number(db, tenant_id, send.number_id)
    body = {
        **{"conversation_id": send.conversation_id, "message_id": send.message_id, "part": send.part},
        **{"send_id": send.id, "kind": send.kind, "content": msgspec.Raw(send.body.encode())},
    }
    letter = DeadLetter(
        id=new_uuid(at_us),
        number_id=send.number_id,
        provider="" if number is None else number.provider,
        account="" if number is None else number.account,
        reason=f"refused: {error}",
        body=msgspec.json.encode(body).decode(),
        received_us=at_us,
        message_id=send.message_id,
    )
    dead_letters.bury(db, tenant_id, letter)


def text_instead(db: Transaction, tenant_id: str, send: StoredSend, error: str, at_us: int) -> bool:
    """Let the text of a file go out in its place, once; False without one, or when nothing more is to be said.

    It is a row of its own in the same place of the conversation: what is still told of the file is told of the file's
    row, which has ended. All that holds for what goes out holds for it, the 24 hours among it.
    """
    text = _text_of(send)
    if not text or send.reason or not _may_speak(db, tenant_id, send):
        return False
    send_moves.supersede(db, tenant_id, send, error, at_us)
    db.do(
        "INSERT INTO sends (tenant_id, id, seq, number_id, contact_id, conversation_id, message_id, turn_id, part, "
        "origin, kind, body, state, due_at, created_at, updated_at) "
        "SELECT tenant_id, ?, seq, number_id, contact_id, conversation_id, message_id, ?, part, origin, 'text', ?, "
        "'queued', ?, created_at, ? FROM sends WHERE tenant_id = ? AND id = ? "
        "ON CONFLICT (tenant_id, turn_id, part) DO NOTHING",
        *(new_uuid(at_us), f"{send.turn_id}:text", msgspec.json.encode({"body": text}).decode(), at_us, at_us),
        *(tenant_id, send.id),
    )
    return True


def _text_of(send: StoredSend) -> str:
    if send.kind != "media":
        return ""
    try:
        return msgspec.json.decode(send.body, type=_File).otherwise
    except msgspec.DecodeError:
        return ""


def _may_speak(db: Transaction, tenant_id: str, send: StoredSend) -> bool:
    """Nobody has taken over since: what is queued is dropped then, and this was not queued."""
    conversation = conversations.find_conversation(db, tenant_id, send.conversation_id)
    return send.origin not in OF_BOTS or (conversation is not None and conversation.autoreply)
