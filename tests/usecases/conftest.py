"""A meter over a real database on either engine, with a clock that the test turns."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.databases import ENGINES
from tests.usecases.spending import Desk, open_desk


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_url" in metafunc.fixturenames:
        metafunc.parametrize("database_url", ENGINES, indirect=True)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with open_desk(database_url) as opened:
        yield opened
