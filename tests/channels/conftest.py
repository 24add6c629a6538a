"""A mailroom on either engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from app.storage.database import Transaction
from app.storage.migrations import migrate_job
from tests.channels.mailroom import Mailroom, open_mailroom
from tests.databases import open_view


@pytest.fixture
async def room(database_url: str) -> AsyncIterator[Mailroom]:
    async with open_mailroom(database_url) as opened:
        yield opened


@pytest.fixture
def db(database_url: str) -> Iterator[Transaction]:
    """A look at a migrated database; each statement is committed."""
    with open_view(database_url) as transaction:
        migrate_job(transaction)
        yield transaction
