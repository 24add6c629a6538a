"""The least a database can keep: names, each once. For tests of the writer, the readers and the engines."""

from __future__ import annotations

from typing import Final

from app.storage.database import Job, Transaction
from app.storage.engines import open_engine
from tests.databases import open_view
from tests.gate import GatedEngine

#: The tenant that these jobs say they work for.
WHO: Final = "acme"


def mark(name: str) -> Job[str]:
    def job(db: Transaction) -> str:
        db.run("INSERT INTO marks VALUES (?)", name)
        return name

    return job


def marks(db: Transaction) -> list[str]:
    return [row[0] for row in db.all("SELECT name FROM marks ORDER BY name")]


def stored(url: str) -> list[str]:
    with open_view(url) as view:
        return marks(view)


async def open_gated(url: str, deadline_s: float = 5.0) -> GatedEngine:
    """An engine with a gate, and a table for marks in its database."""
    engine = GatedEngine(await open_engine(url, deadline_s=deadline_s))
    with open_view(url) as view:
        view.do("CREATE TABLE marks (name TEXT NOT NULL UNIQUE)")
    return engine
