"""Brings a database to the schema of this version: an ordered list of steps that both engines understand."""

from __future__ import annotations

from typing import Final

from app.storage import schema_channels, schema_core, schema_platform
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.schema_words import OnPostgres, Steps

PATIENCE_S: Final = 3600.0
#: The step that says that the database was moved: a version that does not know it takes it for that of a newer one.
MOVED_STEP: Final = 1_000_000
STEPS: Final[Steps] = (*schema_core.STEPS, *schema_platform.STEPS, *schema_channels.STEPS)


class NewerDatabase(Exception):
    """The database was migrated by a newer version of this program; running on would corrupt it."""

    def __init__(self, found: int) -> None:
        super().__init__(
            f"The database is at schema {found}, this version knows {len(STEPS)}. "
            "Start the newer version, or restore the backup that was made before the upgrade."
        )


class MovedDatabase(NewerDatabase):
    """Everything in the database is in another one now, and goes on there."""

    def __init__(self, where: str) -> None:
        Exception.__init__(self, f"This database has been moved to {where}; set DATABASE_URL to it.")


def schema_version(db: Transaction) -> int:
    db.do("CREATE TABLE IF NOT EXISTS schema_steps (step BIGINT PRIMARY KEY, name TEXT NOT NULL)")
    row = db.one("SELECT COALESCE(MAX(step), 0) FROM schema_steps")
    return int(row[0]) if row else 0


def moved_to(db: Transaction) -> str | None:
    """The database that this one was moved to, and the day; None for one that is in use."""
    row = db.one("SELECT name FROM schema_steps WHERE step = ?", MOVED_STEP)
    return None if row is None else str(row[0])


def migrate_job(db: Transaction) -> list[str]:
    """Bring the schema up to date inside one transaction; returns the names of the steps taken.

    Raises NewerDatabase, or MovedDatabase. Safe to run from several processes at once: the write lock makes them take
    turns.
    """
    found = schema_version(db)
    where = moved_to(db)
    if where is not None:
        raise MovedDatabase(where)
    if found > len(STEPS):
        raise NewerDatabase(found)
    taken = []
    for number, (name, statements) in enumerate(STEPS[found:], start=found + 1):
        for statement in statements:
            if db.engine == "postgresql" or not isinstance(statement, OnPostgres):
                db.do(statement)
        db.do("INSERT INTO schema_steps (step, name) VALUES (?, ?)", number, name)
        taken.append(name)
    return taken


async def migrate(database: Database) -> list[str]:
    """`migrate_job` in the writer. Raises NewerDatabase, or Problem `storage_unavailable`."""
    return await database.write(EVERY_TENANT, migrate_job, patience_s=PATIENCE_S)
