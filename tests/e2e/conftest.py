"""What the end-to-end tests share: a whole house with one customer, for each test anew.

Its database is SQLite; a module that says `pytestmark = ON_BOTH` has its tests run on PostgreSQL, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.e2e.calling import Caller, open_caller

pytest.register_assert_rewrite("tests.e2e.sdk_talks")


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with open_caller(database_url) as caller:
        yield caller
