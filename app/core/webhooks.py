"""Outbound webhooks as the platform API takes and shows them (spec.md section 16), their signature, their patience."""

from __future__ import annotations

import hmac
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from app.core.chat_fields import Body, Wire
from app.core.identity import new_token
from app.core.public_hosts import LONGEST_URL
from app.core.times import Cursor, PageSize

Subscription = Literal[
    "*",
    "conversation.started",
    "conversation.ended",
    "message.received",
    "message.sent",
    "message.status",
    "message.failed",
    "voice_session.started",
    "voice_session.ended",
    "voice_session.failed",
    "budget.alert",
    "budget.exceeded",
    "credits.low",
    "api_key.expired",
    "invoice.created",
    "payment.succeeded",
    "payment.failed",
]
#: Sent on request only; nobody subscribes to it.
TEST_EVENT: Final = "webhook.test"
DeliveryState = Literal["pending", "delivered", "failed"]
Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LONGEST_URL,
        description="https, a public host, no user or password",
        examples=["https://example.com/hook"],
    ),
]
Description = Annotated[str, Meta(max_length=255)]
Events = Annotated[list[Subscription], Meta(min_length=1, max_length=32, description="`*` is every event")]
#: How long to wait after each failed attempt; after the last of them nobody tries again.
PAUSES_S: Final = (2, 4, 8, 16)
MOST_ATTEMPTS: Final = len(PAUSES_S) + 1


class NewWebhook(Body, frozen=True):
    """The body of POST /api/v1/webhooks."""

    url: Url
    events: Events
    description: Description = ""
    is_active: bool = True


class WebhookChange(Body, frozen=True):
    """The body of PUT /api/v1/webhooks/{id}: what is left out stays as it is."""

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    is_active: bool | None = None


class Webhook(msgspec.Struct, frozen=True):
    id: str
    tenant_id: str
    url: str
    description: str
    events: list[str]
    is_active: bool
    created_at: str
    updated_at: str


class WebhookSecret(Webhook, frozen=True):
    """A webhook with its secret, which is shown this once."""

    secret: Annotated[str, Meta(description="signs every delivery; not shown again")]
    previous_secret_until: Annotated[
        str | None, Meta(description="until then X-CallMissed-Signature-Previous is signed with the secret before")
    ]


class WebhookList(msgspec.Struct, frozen=True):
    data: list[Webhook]


class DeliveryQuery(Wire, frozen=True):
    limit: PageSize = 50
    before: Cursor | None = None


class Delivery(msgspec.Struct, frozen=True):
    """`status` and `error` are those of the last attempt; `status` is the receiver's, null when it gave none."""

    id: str
    webhook_id: str
    event: str
    state: DeliveryState
    attempts: int
    status: int | None
    error: str | None
    replay_of: str | None
    created_at: str
    delivered_at: str | None
    next_attempt_at: str | None


class DeliveryPage(msgspec.Struct, frozen=True):
    data: list[Delivery]
    next_cursor: str | None


class DeliveryAttempt(msgspec.Struct, frozen=True):
    """`reply` is the beginning of what the receiver answered."""

    number: int
    at: str
    ms: int
    status: int | None
    error: str | None
    reply: str


class DeliveryDetail(Delivery, frozen=True):
    """A delivery with `body`, the very text that is signed and sent, and every attempt, oldest first."""

    body: str
    attempt_log: list[DeliveryAttempt]


def new_secret() -> str:
    """A secret of a webhook, with 256 bits of randomness."""
    return f"whsec_{new_token()}"


def signature(secret: str, body: bytes) -> str:
    """Such as `sha256=5f0c...`: HMAC-SHA-256 of the body, the whole secret being the key."""
    return f"sha256={hmac.digest(secret.encode(), body, 'sha256').hex()}"


def pause_us(attempts: int) -> int | None:
    """How long to wait after so many failed attempts, None when there have been enough."""
    return PAUSES_S[attempts - 1] * 1_000_000 if attempts < MOST_ATTEMPTS else None
