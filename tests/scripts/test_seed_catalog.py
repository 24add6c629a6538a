"""Seeding the catalog: what is printed, what is kept, what is refused."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
import trio

from app.config import Settings
from app.main import open_storage
from app.storage.database import EVERY_TENANT
from app.usecases.models import load
from catalog.catalog import PACKAGE, Catalog
from scripts import seed_catalog


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
def settings(database: Path) -> Settings:
    return Settings(database_url=f"sqlite:///{database}")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the catalog's files that a test may edit."""
    for name in ("models.toml", "rates.toml", "plans.toml"):
        shutil.copy(PACKAGE / name, tmp_path / name)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def stored(settings: Settings) -> Catalog:
    async def read() -> Catalog:
        async with open_storage(settings) as db:
            return await db.read(EVERY_TENANT, load)

    return trio.run(read)


def test_a_fresh_database_gets_the_whole_catalog(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert seed_catalog.run(settings, dry_run=False) == 0
    assert stored(settings).digest == Catalog.load().digest
    assert "plans added (4): free, starter, pro, enterprise" in capsys.readouterr().out


def test_a_second_run_changes_nothing(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    seed_catalog.run(settings, dry_run=False)
    capsys.readouterr()
    assert seed_catalog.run(settings, dry_run=False) == 0
    assert capsys.readouterr().out == "catalog: nothing changed\n"


def test_an_edited_file_is_told_by_id_and_kept(
    settings: Settings, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed_catalog.run(settings, dry_run=False, directory=directory)
    edit(directory / "plans.toml", "rpm = 500\n", "rpm = 501\n")
    capsys.readouterr()
    assert seed_catalog.run(settings, dry_run=False, directory=directory) == 0
    assert capsys.readouterr().out == "plans changed (1): starter\n"
    assert stored(settings).plans["starter"].rpm == 501


def test_a_plan_that_left_the_file_leaves_the_database(
    settings: Settings, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed_catalog.run(settings, dry_run=False, directory=directory)
    text = (directory / "plans.toml").read_text()
    (directory / "plans.toml").write_text(text.partition("[enterprise]")[0])
    capsys.readouterr()
    assert seed_catalog.run(settings, dry_run=False, directory=directory) == 0
    assert capsys.readouterr().out == "plans removed (1): enterprise\n"
    assert "enterprise" not in stored(settings).plans


def test_a_dry_run_says_what_would_change_and_keeps_the_old(
    settings: Settings, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed_catalog.run(settings, dry_run=False, directory=directory)
    edit(directory / "plans.toml", "rpm = 500\n", "rpm = 501\n")
    capsys.readouterr()
    assert seed_catalog.run(settings, dry_run=True, directory=directory) == 0
    assert capsys.readouterr().out == "plans would be changed (1): starter\n"
    assert stored(settings).plans["starter"].rpm == 500


def test_a_dry_run_makes_no_database(settings: Settings, database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert seed_catalog.run(settings, dry_run=True) == 0
    assert "does not exist and is not made" in capsys.readouterr().out
    assert not database.exists()


def test_a_dry_run_does_not_migrate(settings: Settings, database: Path) -> None:
    sqlite3.connect(database).close()
    database.touch()
    assert seed_catalog.run(settings, dry_run=True) == 0
    connection = sqlite3.connect(database)
    tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    connection.close()
    assert tables == []


def test_a_broken_file_is_refused_by_file_entry_and_key(
    settings: Settings, database: Path, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(directory / "plans.toml", "rpm = 500\n", 'rpm = "many"\n')
    assert seed_catalog.run(settings, dry_run=False, directory=directory) == 1
    assert "plans.toml: starter: rpm: is 'many'" in capsys.readouterr().err
    assert not database.exists()


def test_a_file_that_is_no_database_is_named(
    settings: Settings, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database.write_text("a letter, not a database; long enough to be read as one" * 20)
    assert seed_catalog.run(settings, dry_run=False) == 1
    assert f"{database}: file is not a database" in capsys.readouterr().err


def test_the_command_takes_database_and_folder(database: Path, directory: Path) -> None:
    url = f"sqlite:///{database}"
    assert seed_catalog.main(["--database", url, "--catalog", str(directory)]) == 0
    assert stored(Settings(database_url=url)).digest == Catalog.load().digest


def test_the_command_refuses_a_url_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert seed_catalog.main(["--database", "mysql://somewhere"]) == 1
    assert "DATABASE_URL: write sqlite:///PATH" in capsys.readouterr().err
