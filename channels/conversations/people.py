"""When a person answers instead of the bot, and when the bot does again. Functions of a transaction.

Whoever takes over silences the bot at once: what it has not sent yet is dropped, what it is writing is given up, a
request to the provider that is under way is let go to its end (channels.md section 13).
"""

from __future__ import annotations

from typing import Final

from app.storage import bot_turns, conversations, lanes, sends
from app.storage.database import Transaction

#: The flag of a conversation that the plan has no room for; people cannot take it away.
CAP: Final = "cap"


def silence(
    db: Transaction, tenant_id: str, conversation_id: str, at_us: int, *, escalate: bool, flag: str = ""
) -> None:
    """A person answers from now on. `escalate` marks the conversation for people, `flag` says why."""
    _still(db, tenant_id, conversation_id, at_us, escalate=escalate, flag=flag)
    sends.drop_queued(db, tenant_id, conversation_id, "human_takeover", at_us)
    bot_turns.dispose_open(db, tenant_id, conversation_id, "human")


def hand_over(db: Transaction, tenant_id: str, conversation_id: str, at_us: int, *, flag: str) -> None:
    """The bot calls people and is silent from now on; what it has said by then, and its last words, still go out."""
    _still(db, tenant_id, conversation_id, at_us, escalate=True, flag=flag)


def resume(db: Transaction, tenant_id: str, conversation_id: str, at_us: int) -> None:
    """The bot answers the user's next message again."""
    conversations.set_autoreply(db, tenant_id, conversation_id, True, at_us)
    conversations.set_status(db, tenant_id, conversation_id, "active", at_us)
    conversations.clear_flag(db, tenant_id, conversation_id, kept=CAP)
    conversations.set_failed_turns(db, tenant_id, conversation_id, 0)


def _still(db: Transaction, tenant_id: str, conversation_id: str, at_us: int, *, escalate: bool, flag: str) -> None:
    conversations.set_autoreply(db, tenant_id, conversation_id, False, at_us)
    if escalate:
        conversations.set_status(db, tenant_id, conversation_id, "escalated", at_us)
    if flag:
        conversations.set_flag(db, tenant_id, conversation_id, flag)
    lanes.nudge(db, tenant_id, conversation_id)
