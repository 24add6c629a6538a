"""A row of a tenant in each table of the platform, for tests that look at every table."""

from __future__ import annotations

from app.core.idempotency import Claim
from app.core.identity import new_uuid
from app.storage import bots, conversations, idempotency, invitations, outbox, sessions, webhooks
from app.storage.bots import StoredBot
from app.storage.conversations import StoredConversation, StoredMessage
from app.storage.database import Transaction
from app.storage.invitations import StoredInvitation
from app.storage.outbox import Attempt
from app.storage.sessions import StoredSession
from app.storage.webhooks import StoredWebhook
from tests.storage.furnishing_channels import furnish_channels
from tests.storage.making import DAY_0, DAY_US


def furnish_platform(db: Transaction, tenant_id: str) -> None:
    """The tenant needs a member already."""
    row = db.one("SELECT id FROM users WHERE tenant_id = ? ORDER BY id", tenant_id)
    assert row is not None
    session_id, invitation_id, bot_id, conversation_id = (new_uuid(DAY_0) for _ in range(4))
    session = StoredSession(session_id, row[0], "a browser", "127.0.0.1", DAY_0, DAY_0, DAY_0 + DAY_US)
    sessions.open_session(db, tenant_id, session, f"digest {session_id}")
    invitation = StoredInvitation(invitation_id, row[0], DAY_0, DAY_0 + DAY_US)
    invitations.replace_invitation(db, tenant_id, invitation, f"digest {invitation_id}")
    config = '{"language": "hi-IN"}'
    bots.insert_bot(db, tenant_id, StoredBot(bot_id, "whatsapp", "Asha", "Be kind.", config, "", True, DAY_0, DAY_0))
    conversation = StoredConversation(
        conversation_id, bot_id, "whatsapp", "+91 98", "active", None, "{}", True, DAY_0, DAY_0
    )
    conversations.insert_conversation(db, tenant_id, conversation)
    message = StoredMessage(new_uuid(DAY_0), conversation_id, "user", "नमस्ते 🙂", "text", 3, DAY_0)
    conversations.insert_message(db, tenant_id, message)
    claim = Claim(f"digest of {session_id}", "fingerprint", "req_1")
    idempotency.claim(db, tenant_id, claim, DAY_0)
    idempotency.keep_free(db, tenant_id, claim, 201, "c2VhbGVk")
    furnish_outbox(db, tenant_id)
    furnish_channels(db, tenant_id, bot_id, conversation_id)


def furnish_outbox(db: Transaction, tenant_id: str) -> None:
    """A webhook, and a delivery that has failed once."""
    webhook_id = new_uuid(DAY_0)
    webhook = StoredWebhook(webhook_id, "https://a.example/", "", "credits.low", True, "sealed", "", 0, DAY_0, DAY_0)
    webhooks.insert_webhook(db, tenant_id, webhook)
    outbox.emit(db, tenant_id, "credits.low", {"name": "नमस्ते 🙂"}, DAY_0)
    taken = outbox.take(db, tenant_id, webhook_id, DAY_0, DAY_0 + 1)
    assert taken is not None
    attempt = Attempt(DAY_0, 12, 500, "the receiver answered 500", "oops")
    outbox.finish(db, tenant_id, taken, attempt, delivered=False, due_us=DAY_0 + 2)
