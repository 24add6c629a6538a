"""The gateway as a process of its own: started by its command line, configured by its environment, killed at will."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import trio

from app.config import Settings

ROOT: Final = Path(__file__).resolve().parents[2]
START_S: Final = 30.0
LOOK_S: Final = 0.02


def as_environment(settings: Settings) -> dict[str, str]:
    """The environment of a process with these settings and no others."""
    return {"PATH": os.environ.get("PATH", ""), **settings.environment()}


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
async def open_gateway_process(
    settings: Settings,
    output: Path,
    *arguments: str,
    serving: str = "gateway.serving",
    around: Mapping[str, str] | None = None,
) -> AsyncIterator[GatewayProcess]:
    """`python -m app serve` with these settings, once its log has said `serving`.

    `around` is what its environment holds besides. It is killed when the block is left, if it still runs.
    """
    environment = {**as_environment(settings), **(around or {})}
    with output.open("ab") as out:
        before = out.tell()
        command = [sys.executable, "-m", "app", "serve", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)  # noqa: ASYNC220
    try:
        with trio.fail_after(START_S):
            url = await _serving(process, output, before, serving)
        yield GatewayProcess(url, process, output)
    finally:
        process.kill()
        process.wait()


async def _serving(process: subprocess.Popen[bytes], output: Path, before: int, event: str) -> str:
    while (url := _url_said(output, before, event)) is None:
        assert process.poll() is None, f"the gateway ended at its start, see {output}"
        await trio.sleep(LOOK_S)
    return url


def _url_said(output: Path, before: int, event: str) -> str | None:
    for line in output.read_bytes()[before:].splitlines(keepends=True):
        if line.endswith(b"\n") and f'"{event}"'.encode() in line:
            url: str = msgspec.json.decode(line)["urls"][0]
            return url
    return None
