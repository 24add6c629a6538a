"""Dead letters of channels as the platform API shows them."""

from __future__ import annotations

import msgspec

from app.core.chat_fields import Wire
from app.core.times import Cursor, PageSize


class DeadLetterQuery(Wire, frozen=True):
    limit: PageSize = 50
    before: Cursor | None = None


class DeadLetter(msgspec.Struct, frozen=True):
    """What came in and could not be used, or with `message_id` a message of ours that the provider refused.

    `excerpt` is the beginning of it. `replayed_at` is when it was last tried again.
    """

    id: str
    number_id: str | None
    message_id: str | None
    provider: str
    account: str
    reason: str
    excerpt: str
    received_at: str
    replayed_at: str | None


class DeadLetterPage(msgspec.Struct, frozen=True):
    data: list[DeadLetter]
    next_cursor: str | None


class DeadLetterDetail(DeadLetter, frozen=True):
    """A dead letter with `body`, all of it."""

    body: str
