"""A meter, and ways in, over a real database on either engine, with a clock that the test turns."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.databases import ENGINES
from tests.usecases.office import Office, open_office
from tests.usecases.spending import Desk, open_desk


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_url" in metafunc.fixturenames:
        metafunc.parametrize("database_url", ENGINES, indirect=True)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with open_desk(database_url) as opened:
        yield opened


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    async with open_office(database_url) as opened:
        yield opened


@pytest.fixture
async def other(database_url: str, office: Office) -> AsyncIterator[Office]:
    """Another process on the same database, with the same clock."""
    async with open_office(database_url, office.clock) as opened:
        yield opened
