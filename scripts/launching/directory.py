"""The data directory: one launcher at a time, and small files that only their owner reads, replaced whole."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.commands import Mendable
from app.config import MIN_SECRET

SECRET: Final = "secret"  # noqa: S105 - a file's name
DEMO: Final = "demo.json"
RUN: Final = "run.json"


class LaunchError(Mendable):
    """The gateway cannot be started; the text says what to do."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """A locked directory. What it writes has mode 600 and is either there as a whole or not at all."""

    path: Path

    def secret(self) -> str:
        """The server's own secret, made at the first call. Raises LaunchError when the file is damaged."""
        file = self.path / SECRET
        if not file.exists():
            self._write(SECRET, secrets.token_hex(32) + "\n")
        secret = file.read_text(encoding="utf-8").strip()
        if len(secret) < MIN_SECRET:
            raise LaunchError(
                f"{file} holds no secret. Restore it; if you delete it, all keys made so far stop working."
            )
        return secret

    def demo(self) -> dict[str, Any]:
        """What `remember_demo` was given; empty when the file is lost or damaged."""
        return _read_table(self.path / DEMO)

    def remember_demo(self, values: Mapping[str, object]) -> None:
        self._write(DEMO, json.dumps(values, indent=2) + "\n")

    def write_run(self, values: Mapping[str, object]) -> None:
        self._write(RUN, json.dumps(values, indent=2) + "\n")

    def remove_run(self) -> None:
        (self.path / RUN).unlink(missing_ok=True)

    def _write(self, name: str, text: str) -> None:
        part = self.path / f"{name}.part"
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path / name)


@contextmanager
def open_directory(path: Path) -> Iterator[DataDirectory]:
    """Make the directory (mode 700) if need be and hold its lock. Raises LaunchError when another launcher has it."""
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(0o700)
    with open(path / "lock", "a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            run = _read_table(path / RUN)
            where = f" at {run['root_url']}, process {run['pid']}" if run.keys() >= {"root_url", "pid"} else ""
            raise LaunchError(
                f"A gateway is running on {path}{where}. Stop it first, or choose another folder with --data."
            ) from None
        directory = DataDirectory(path)
        directory.remove_run()  # of one that was killed
        try:
            yield directory
        finally:
            directory.remove_run()


def _read_table(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}
