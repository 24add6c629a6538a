"""One living gateway for all tests here: they read and write, and none minds what the others have done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.openapi.live import Live, open_live


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with open_live(tmp_path_factory.mktemp("live")) as live:
        yield live
        assert live.books() == (0, []), "a hold is left, or the books do not balance"
