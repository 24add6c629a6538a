"""The launcher as a process of its own, and whatever else a user starts and then talks to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.launching.simulator import ROOT

START_S = 60.0
STOP_S = 20.0


class Launched:
    """A launcher that runs as a process of its own."""

    def __init__(self, process: subprocess.Popen[str], data: Path) -> None:
        self.process = process
        self.data = data
        self.run = read_run(data)

    def stop(self, number: int) -> tuple[int, str]:
        """The exit code and all that was printed."""
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=STOP_S)
        return self.process.returncode, output


@contextmanager
def launched(data: Path, *arguments: str) -> Iterator[Launched]:
    with open_command("scripts.launch", data, *arguments) as process:
        yield Launched(process, data)


@contextmanager
def open_command(module: str, data: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The real command on a free port, without any setting from outside; ready once its run.json is there."""
    command = [sys.executable, "-m", module, "--port", "0", "--data", str(data), *arguments]
    known = {name: text for name, text in os.environ.items() if name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=known
    ) as process:
        try:
            deadline = time.monotonic() + START_S
            while not (data / "run.json").exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline, "it did not become ready"
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def read_run(data: Path) -> dict[str, Any]:
    """What the command says of itself, as it is now."""
    run: dict[str, Any] = json.loads((data / "run.json").read_text())
    return run
