"""What every test shares: how hypothesis searches, and a fresh database on either engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.databases import Databases, open_databases, sqlite_url

# A gateway's log must not stand in what a test reads from standard output.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
# A busy machine must not fail a test for being slow; CI searches the same examples every time.
settings.register_profile(
    "house",
    deadline=None,
    derandomize="CI" in os.environ,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def log_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that a test runs in this process leaves the log alone: a logger that is cached under one configuration
    is deaf to `capture_logs` under the next.
    """
    for module in ("app.__main__", "scripts.cluster", "scripts.launch"):
        monkeypatch.setattr(f"{module}.configure_log", lambda _level: None)
    before = structlog.get_config()
    yield
    caches = structlog.get_config()["cache_logger_on_first_use"]
    structlog.configure(**before)
    assert not caches, "the test let a command configure the log"


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """One PostgreSQL for all tests of this run, started by the first that needs it."""
    with open_databases() as databases:
        yield databases


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of the test's own: a SQLite file yet to be made, or with `ON_BOTH` also a migrated PostgreSQL."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield sqlite_url(tmp_path)
    else:
        with request.getfixturevalue("databases").open_fresh() as url:
            yield url
