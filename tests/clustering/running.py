"""The cluster as a process, and clients that call it through its balancer without a pause and without mercy."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import trio

from tests.launcher import START_S, open_command, read_run

STOP_S: Final = 30.0
MODEL: Final = "kimi-k2.5-fast"


class Cluster:
    """A running cluster; `run` is its run.json as it is now."""

    def __init__(self, process: subprocess.Popen[str], data: Path) -> None:
        self.process = process
        self._data = data
        self.base_url: str = self.run["base_url"]
        self.headers = {"authorization": f"Bearer {self.run['api_key']}"}

    @property
    def run(self) -> dict[str, Any]:
        return read_run(self._data)

    def pids(self) -> set[int]:
        """Of the replicas that serve."""
        return {replica["pid"] for replica in self.run["replicas"]}

    async def replaced(self, before: set[int], count: int) -> None:
        """Wait until `count` replicas serve and none of them is one of `before`."""
        with trio.fail_after(START_S):
            while len(self.pids()) < count or self.pids() & before:  # noqa: ASYNC110 - other processes bring it about
                await trio.sleep(0.1)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_ended(self) -> tuple[int, str]:
        """The exit code and all that was printed."""
        output, _ = self.process.communicate(timeout=STOP_S)
        return self.process.returncode, output

    def client(self, *, http2: bool = False) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            http1=not http2, http2=http2, base_url=self.base_url, headers=self.headers, timeout=20, trust_env=False
        )


@contextmanager
def open_cluster(data: Path, *arguments: str) -> Iterator[Cluster]:
    with open_command("scripts.cluster", data, *arguments) as process:
        yield Cluster(process, data)


def question(cues: str, *, stream: bool = True) -> dict[str, Any]:
    return {"model": MODEL, "stream": stream, "messages": [{"role": "user", "content": f"{cues} Hello!"}]}


async def ask(client: httpx2.AsyncClient, cues: str) -> str:
    """One streamed call, read to its end; its id. Whatever goes wrong is raised."""
    async with client.stream("POST", "/chat/completions", json=question(cues)) as reply:
        text = (await reply.aread()).decode()
    assert reply.status_code == 200, text
    assert text.endswith("data: [DONE]\n\n"), f"it broke off: {text[-200:]!r}"
    call_id: str = json.loads(text.partition("\n\n")[0].removeprefix("data: "))["id"]
    return call_id


def is_served(url: str) -> bool:
    try:
        httpx2.get(f"{url}/healthz", timeout=5, trust_env=False)
    except httpx2.TransportError:
        return False
    return True
