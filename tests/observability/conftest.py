"""What the observability tests share: a house that is watched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.observability.house import Watcher, open_watched


@pytest.fixture
async def watcher(tmp_path: Path) -> AsyncIterator[Watcher]:
    async with open_watched(tmp_path) as opened:
        yield opened
