"""The seed catalog, read once, and its documents."""

from __future__ import annotations

import pytest

from catalog.catalog import Catalog
from tests.catalog.documents import Documents


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog.load()


@pytest.fixture
def documents(catalog: Catalog) -> Documents:
    return Documents(catalog)
