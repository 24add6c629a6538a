"""JSON load with wrk, where it is installed: a generator that costs the shared core less than one in Python."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from scripts.bench.questions import Door

_SCRIPT: Final = """\
wrk.method = "POST"
wrk.body = [==[%s]==]
%s
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"seconds":%%f,"answers":%%d,"refused":%%d,"broken":%%d,"p50_us":%%f,"p99_us":%%f}\\n',
    summary.duration / 1e6, summary.requests, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)
  ))
end
"""


@dataclass(frozen=True, slots=True)
class WrkResult:
    """`refused` answers had another status than 2xx or 3xx; `broken` calls had none."""

    seconds: float
    answers: int
    refused: int
    broken: int
    p50_us: float
    p99_us: float


def find_wrk() -> str | None:
    return shutil.which("wrk")


def lua_script(body: bytes, headers: dict[str, str]) -> str:
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
    return _SCRIPT % (body.decode(), lines)


def run_wrk(wrk: str, folder: Path, door: Door, body: bytes, connections: int, seconds: float) -> WrkResult:
    """One thread, whole seconds (rounded up). Raises CalledProcessError when wrk cannot reach the server."""
    script = folder / "wrk.lua"
    script.write_text(lua_script(body, door.headers))
    options = ["-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "--timeout", "30s", "-s", str(script)]
    done = subprocess.run(
        [wrk, *options, door.url], capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}
    )
    return msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=WrkResult)
