"""What every test of a script shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config import Secret, Settings
from scripts import seed_catalog
from scripts.launching.directory import DataDirectory, open_directory
from tests.scripts.acme import SECRET, Write


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[DataDirectory]:
    with open_directory(tmp_path / "data") as opened:
        yield opened


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a catalog and nothing else."""
    path = tmp_path_factory.mktemp("seeded") / "gateway.db"
    assert seed_catalog.run(Settings(database_url=f"sqlite:///{path}"), dry_run=False) == 0
    return path


@pytest.fixture
def settings(seeded: Path, tmp_path: Path) -> Settings:
    (tmp_path / "gateway.db").write_bytes(seeded.read_bytes())
    return Settings(database_url=f"sqlite:///{tmp_path / 'gateway.db'}", secret_key=Secret(SECRET))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "seed.toml") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write
