"""The commands of `python -m app`: each that cannot work ends with one clear message and no traceback."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from app.config import Secret, Settings
from app.storage.database import Transaction
from app.storage.migrations import migrate_job
from tests.databases import elsewhere
from tests.e2e.process import ROOT, as_environment
from tests.storage.making import make_tenant

PASSWORD = "wombatcanary"


def run_command(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", *words]
    return subprocess.run(
        command, cwd=ROOT, env=as_environment(settings), capture_output=True, text=True, timeout=60, check=False
    )


def empty_file(path: Path) -> None:
    path.write_bytes(b"this is no database " * 100)


def newer_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE schema_steps (step BIGINT PRIMARY KEY, name TEXT NOT NULL)")
        connection.execute("INSERT INTO schema_steps VALUES (999, 'future')")


def nothing(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize(
    ("prepare", "words", "said"),
    [
        (newer_database, ["serve"], "The database is at schema 999, this version knows"),
        (empty_file, ["serve"], "gateway.db: file is not a database"),
        (nothing, ["serve"], "run `python -m app seed` first"),
        (nothing, ["serve", "--port", "no"], "PORT: 'no' is not a number"),
    ],
)
def test_a_command_that_cannot_work_says_why_and_shows_no_traceback(
    tmp_path: Path, prepare: Callable[[Path], None], words: list[str], said: str
) -> None:
    path = tmp_path / "gateway.db"
    prepare(path)
    settings = Settings(database_url=f"sqlite:///{path}", secret_key=Secret("a secret for tests only"), port=0)
    done = run_command(settings, *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_gateway_without_a_secret_does_not_start(tmp_path: Path) -> None:
    done = run_command(Settings(database_url=f"sqlite:///{tmp_path / 'gateway.db'}"), "serve")
    assert (done.returncode, "SECRET_KEY: not set; make one with" in done.stderr) == (1, True)


def test_a_migration_says_where_and_can_be_repeated(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'gateway.db'}"
    for _ in range(2):
        done = run_command(Settings(), "migrate", "--database", url)
        assert (done.returncode, done.stdout) == (0, f"{url} is up to date.\n")


def test_a_migration_counts_anew_what_an_older_gateway_left_out(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'gateway.db'}"

    def write(db: Transaction) -> None:
        migrate_job(db)
        make_tenant(db)
        db.do("DELETE FROM ledger_days")

    elsewhere(url, write)
    said = [run_command(Settings(), "migrate", "--recount", "--database", url).stdout for _ in range(2)]
    assert [line.splitlines()[-1] for line in said] == [
        "Counted anew: 1 sums by day were wrong and are right now.",
        "Counted anew: 0 sums by day were wrong and are right now.",
    ]


def test_help_names_every_setting_and_shows_no_secret_default() -> None:
    done = run_command(Settings(), "--help")
    assert done.returncode == 0
    assert [name for name in ("DATABASE_URL", "SECRET_KEY", "HOLD_S", "LOG_LEVEL") if name not in done.stdout] == []
    assert "***" not in done.stdout


@pytest.mark.parametrize("words", [["serve"], ["migrate"], ["doctor"]], ids=" ".join)
def test_a_command_without_its_postgresql_ends_with_one_message(words: list[str]) -> None:
    url = f"postgresql://gateway:{PASSWORD}@127.0.0.1:1/gateway"
    done = run_command(Settings(database_url=url, secret_key=Secret("a secret for tests only"), port=0), *words)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "postgresql://gateway@127.0.0.1:1/gateway cannot be reached: " in said
    assert "onnection refused" in said
    assert PASSWORD not in said
    assert "Traceback" not in said
