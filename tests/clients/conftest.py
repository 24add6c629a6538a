"""The JavaScript SDKs, installed once for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import node


@pytest.fixture(scope="session")
def sdks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return node.install(tmp_path_factory.mktemp("sdks"))
