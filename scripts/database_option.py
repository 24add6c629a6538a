"""`--database URL`: the database that a script works on, when it is not the environment's."""

from __future__ import annotations

import os

from app.config import Settings


def settings_with(database: str | None, **defaults: str) -> Settings:
    """The environment's settings, `defaults` under them and that database over them. Raises ConfigError."""
    given = {"DATABASE_URL": database} if database else {}
    return Settings.from_environment({**defaults, **os.environ, **given})
