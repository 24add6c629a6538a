"""The gateway as a process of its own: started by its command line, configured by its environment, killed at will."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import msgspec
import trio

from app.config import Settings

ROOT: Final = Path(__file__).resolve().parents[2]
START_S: Final = 30.0
LOOK_S: Final = 0.02


def as_environment(settings: Settings) -> dict[str, str]:
    """The environment from which `Settings` would read these."""
    changed = {each.name.upper(): getattr(settings, each.name) for each in fields(settings)}
    defaults = {each.name.upper(): each.default for each in fields(settings)}
    given = {name: str(value) for name, value in changed.items() if value != defaults[name]}
    return {"PATH": os.environ.get("PATH", ""), **given}


@dataclass(frozen=True, slots=True)
class GatewayProcess:
    """A serving gateway. `output` is what it wrote to both of its streams, and what those before it wrote there."""

    url: str
    process: subprocess.Popen[bytes]
    output: Path

    async def end(self, how: signal.Signals) -> int:
        """Send a signal and wait; the exit code."""
        self.process.send_signal(how)
        return await trio.to_thread.run_sync(self.process.wait)


@asynccontextmanager
async def open_gateway_process(settings: Settings, output: Path) -> AsyncIterator[GatewayProcess]:
    """`python -m app serve` with these settings. It is killed when the block is left, if it still runs."""
    with output.open("ab") as out:
        before = out.tell()
        command = [sys.executable, "-m", "app", "serve"]
        process = subprocess.Popen(command, cwd=ROOT, env=as_environment(settings), stdout=out, stderr=out)  # noqa: ASYNC220
    try:
        with trio.fail_after(START_S):
            url = await _serving(process, output, before)
        yield GatewayProcess(url, process, output)
    finally:
        process.kill()
        process.wait()


async def _serving(process: subprocess.Popen[bytes], output: Path, before: int) -> str:
    while (url := _url_said(output, before)) is None:
        assert process.poll() is None, f"the gateway ended at its start, see {output}"
        await trio.sleep(LOOK_S)
    return url


def _url_said(output: Path, before: int) -> str | None:
    for line in output.read_bytes()[before:].splitlines(keepends=True):
        if line.endswith(b"\n") and b'"gateway.serving"' in line:
            url: str = msgspec.json.decode(line)["urls"][0]
            return url
    return None
