"""A migrated database in memory for tests of single jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.storage.migrations import migrate_job
from app.storage.sqlite import SqliteTransaction, connect


@pytest.fixture
def db() -> Iterator[SqliteTransaction]:
    with closing(connect(Path(":memory:"))) as connection:
        transaction = SqliteTransaction(connection)
        migrate_job(transaction)
        yield transaction
