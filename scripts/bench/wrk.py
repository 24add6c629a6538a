"""JSON load with wrk, where it is installed: a generator that costs the shared core less than one in Python."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from scripts.bench.questions import Door, short_body

_SCRIPT: Final = """\
wrk.method = "POST"
wrk.body = [==[%s]==]
%s
local ports, keys = %s, %s
local threads, requests, at = 0, {}, 0
function setup(thread)
  threads = threads + 1
  thread.addr = wrk.lookup(wrk.host, ports[(threads - 1) %% #ports + 1])[1]
end
function init()
  for i, key in ipairs(keys) do
    wrk.headers["Authorization"] = "Bearer " .. key
    requests[i] = wrk.format()
  end
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
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


@dataclass(frozen=True, slots=True)
class Aim:
    """Several doors to one system, each with a thread of its own, and the keys that calls take turns with."""

    doors: Sequence[Door]
    keys: Sequence[str]

    @classmethod
    def at(cls, door: Door) -> Aim:
        return cls((door,), (door.key,))


def lua_script(body: bytes, headers: Mapping[str, str], aim: Aim) -> str:
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
    return _SCRIPT % (body.decode(), lines, _table(str(door.port) for door in aim.doors), _table(aim.keys))


def run_wrk(wrk: str, folder: Path, aim: Aim, connections: int, seconds: float) -> WrkResult:
    """Whole seconds (rounded up). Raises CalledProcessError when wrk cannot reach the server."""
    door, script = aim.doors[0], folder / "wrk.lua"
    script.write_text(lua_script(short_body(door), door.headers, aim))
    options = [f"-t{len(aim.doors)}", f"-c{connections}", f"-d{math.ceil(seconds)}s", "--timeout", "30s"]
    command = [wrk, *options, "-s", str(script), door.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"})
    return msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=WrkResult)


def _table(words: Iterable[str]) -> str:
    return "{" + ", ".join(f'"{word}"' for word in words) + "}"
