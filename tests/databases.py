"""Databases for tests: a fresh one for each test on either engine, and a way to reach it behind the gateway's back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

import psycopg
import pytest

from app.storage.database import Job, Row, Transaction
from app.storage.engines import sqlite_path
from app.storage.migrations import STEPS, migrate_job, schema_version
from app.storage.postgres_batch import lock_key
from app.storage.postgres_line import connect
from app.storage.postgres_transaction import PostgresTransaction
from app.storage.sqlite import SqliteTransaction
from scripts.clustering.postgres import Postgres, open_postgres

T = TypeVar("T")
ENGINES: Final = ("sqlite", "postgresql")
#: For a test or a module whose tests take `database_url`, themselves or by their fixtures.
ON_BOTH = pytest.mark.parametrize("database_url", ENGINES, indirect=True)
#: For what only PostgreSQL does.
ON_POSTGRES = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
#: What a broken constraint raises.
BROKEN_RULE: Final = (sqlite3.IntegrityError, psycopg.IntegrityError)


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'gateway.db'}"


_SHAPE: Final = """
    SELECT relname, relkind, relnatts, relchecks, relrowsecurity, relforcerowsecurity FROM pg_class
    WHERE relnamespace = 'public'::regnamespace ORDER BY relname"""
_OTHERS: Final = """
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type = 'client backend'"""  # autovacuum is not ours to end


class Databases:
    """Databases of one PostgreSQL, each used by many tests in turn: to make one takes longer than to clear it."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._made = 0
        self._free: list[str] = []
        #: Tables and indexes of a migrated database, once there was one.
        self._shape: list[Row] = []

    @contextmanager
    def open_fresh(self) -> Iterator[str]:
        """The URL of a migrated database without a row."""
        url = self._free.pop() if self._free else self._make()
        with open_view(url) as db:
            self._clear(db)
        yield url
        self._free.append(url)

    @contextmanager
    def open_empty(self) -> Iterator[str]:
        """The URL of a database without a table."""
        with self.open_fresh() as url:
            with open_view(url) as db:
                _drop_tables(db)
            yield url

    def guard(self, role: str, password: str) -> None:
        """From here on this role must say this password; nobody else must say any."""
        with self._server.admin() as admin:
            (path,) = admin.execute("SHOW hba_file").fetchone() or ("",)
            rules = Path(path).read_text()
            if role not in rules:
                Path(path).write_text(f"host all {role} all scram-sha-256\n{rules}")
                admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
                admin.execute("SELECT pg_reload_conf()")

    def _make(self) -> str:
        self._made += 1
        return self._server.create(f"test_{self._made}")

    def _clear(self, db: Transaction) -> None:
        """Throw out whoever the last test left connected, and empty its tables; make them anew if it changed them."""
        db.do(f"SELECT pg_terminate_backend(pid) {_OTHERS}")
        if self._shape and db.all(_SHAPE) == self._shape and schema_version(db) == len(STEPS):
            tables = [name for name, kind, *_ in self._shape if kind == "r" and name != "schema_steps"]
            db.do(f"TRUNCATE {', '.join(tables)}")
        else:
            _drop_tables(db)
            db.do("BEGIN")
            migrate_job(db)
            db.do("COMMIT")
            self._shape = db.all(_SHAPE)


def _drop_tables(db: Transaction) -> None:
    db.do("DROP SCHEMA public CASCADE")
    db.do("CREATE SCHEMA public")


@contextmanager
def open_databases() -> Iterator[Databases]:
    """A server in the system's temporary directory: it is no root, and may not look into ours."""
    with TemporaryDirectory(prefix="gateway-") as folder, open_postgres(Path(folder) / "data", durable=False) as server:
        yield Databases(server)


@contextmanager
def open_view(url: str) -> Iterator[Transaction]:
    """A connection of its own that sees every tenant and commits each statement."""
    path = sqlite_path(url)
    if path is not None:
        with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as connection:
            yield SqliteTransaction(connection)
    else:
        with closing(connect(url)) as session:
            session.execute("SELECT set_config('gateway.tenant', '*', false)")
            yield PostgresTransaction(session)


def elsewhere(url: str, job: Job[T]) -> T:
    """Run `job` in one transaction, as another process of the same gateway would: all of it or nothing."""
    with open_view(url) as db:
        db.do("BEGIN IMMEDIATE" if db.engine == "sqlite" else "BEGIN")
        result = job(db)
        db.do("COMMIT")
        return result


@contextmanager
def write_locked(url: str, tenant_id: str) -> Iterator[Callable[[], None]]:
    """Another process is in the middle of a write for this tenant, until the block ends or the function is called."""
    with open_view(url) as db:
        if db.engine == "sqlite":
            db.do("BEGIN IMMEDIATE")
        else:
            db.do("BEGIN")
            db.one("SELECT pg_advisory_xact_lock(?)", lock_key(tenant_id))
        yield lambda: db.do("ROLLBACK")
