"""A gateway for measuring: a process of its own on a database that is there already, asked as a member's browser."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from app.commands import Mendable
from app.config import Settings
from app.main import open_storage
from app.storage.database import EVERY_TENANT, Transaction
from app.usecases.sessions import Sessions
from scripts.clustering.postgres import free_port

ROOT: Final = Path(__file__).resolve().parents[2]
HOST: Final = "127.0.0.1"
READY_S: Final = 60.0
STOP_S: Final = 10.0
LARGEST: Final = """
    SELECT u.tenant_id, u.id FROM users u JOIN (
        SELECT tenant_id, SUM(completed) AS calls FROM usage_days GROUP BY tenant_id ORDER BY calls DESC LIMIT 1
    ) largest ON largest.tenant_id = u.tenant_id WHERE u.role = 'owner'"""


class Browser:
    """One connection that is kept, and the cookie of a member."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=60)
        self._headers = {"cookie": f"cm_session={token}"}

    def get(self, path: str) -> tuple[Any, float]:
        """The reply and the seconds it took. Raises Mendable for any status but 200."""
        began = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        took_s = time.perf_counter() - began
        if response.status != http.client.OK:
            raise Mendable(f"GET {path}: status {response.status}: {body[:300].decode(errors='replace')}")
        return json.loads(body), took_s

    def close(self) -> None:
        self._connection.close()


async def log_in(settings: Settings) -> str:
    """The token of a new session of the owner of the organisation with most calls. Raises Mendable without any."""
    async with open_storage(settings) as db:
        owner = await db.read(EVERY_TENANT, lambda view: view.one(LARGEST))
        if owner is None:
            raise Mendable(
                "No organisation here has an owner and calls. Fill the database with `python -m scripts.fill`."
            )
        tenant_id, user_id = owner
        opening = Sessions(db, settings.secret_key).opening("scripts.lists", HOST)

        def write(view: Transaction) -> None:
            opening.write(view, tenant_id, user_id)

        await db.write(tenant_id, write)
        return opening.token


@contextmanager
def open_gateway(settings: Settings) -> Iterator[int]:
    """The port of a gateway with these settings, until the end of the block. Raises Mendable if it does not start."""
    port = free_port()
    environment = {**os.environ, "DATABASE_URL": settings.database_url, "SECRET_KEY": settings.secret_key}
    command = [sys.executable, "-m", "app", "serve", "--host", HOST, "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env={**environment, "ACCESS_LOG": "0"}, stderr=subprocess.DEVNULL)
    try:
        _wait_until_ready(process, port)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    latest = time.monotonic() + READY_S
    while time.monotonic() < latest and process.poll() is None:
        with suppress(OSError, Mendable, ValueError), closing(Browser(port, "")) as browser:
            browser.get("/healthz")
            return
        time.sleep(0.1)
    raise Mendable("The gateway did not start on this database; `python -m app doctor` tells why.")
