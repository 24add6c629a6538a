"""The storage tests run on both engines: whatever takes `database_url`, or `db`, a look at a migrated database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.storage.database import Transaction
from app.storage.migrations import migrate_job
from tests.databases import ENGINES, Databases, open_view, sqlite_url
from tests.storage.business import Business, make_business


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = any("database_url" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "database_url" in metafunc.fixturenames and not chosen:
        metafunc.parametrize("database_url", ENGINES, indirect=True)


@pytest.fixture
def db(database_url: str) -> Iterator[Transaction]:
    with open_view(database_url) as transaction:
        migrate_job(transaction)
        yield transaction


@pytest.fixture
def empty_url(database_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database without a table, beside the other one."""
    if database_url.startswith("sqlite"):
        yield database_url.replace("gateway.db", "empty.db")
    else:
        with request.getfixturevalue("databases").open_empty() as url:
            yield url


@pytest.fixture
def empty(empty_url: str) -> Iterator[Transaction]:
    with open_view(empty_url) as view:
        yield view


@pytest.fixture
def business(tmp_path: Path) -> Business:
    """To be moved to `target`."""
    return make_business(sqlite_url(tmp_path))


@pytest.fixture
def target(databases: Databases) -> Iterator[str]:
    with databases.open_fresh() as url:
        yield url
