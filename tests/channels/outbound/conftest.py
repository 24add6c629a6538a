"""A street of its own for each test of what goes out, and one shop in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.channels.sending import Shop, Street, open_shop, open_street


@pytest.fixture
async def street(database_url: str) -> AsyncIterator[Street]:
    async with open_street(database_url) as opened:
        yield opened


@pytest.fixture
async def shop(street: Street) -> Shop:
    made: Shop = await street.do(open_shop)
    return made
