"""The servers behind a balancer: which of them takes the next connection, and what their /readyz says."""

from __future__ import annotations

import ssl
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

import trio

PROBE_S: Final = 0.5
PROBE_DEADLINE_S: Final = 2.0
CONNECT_S: Final = 2.0
ENOUGH: Final = len(b"HTTP/1.1 200 ")
#: `unready` answers, but asks for nothing new: it drains, has lost its database, or has too much to do.
State = Literal["ready", "unready", "down"]
GONE: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


@dataclass(eq=False, slots=True)
class Backend:
    """One server. `connections` is how many are open to it now, `turn` when it took its last one."""

    url: str
    state: State = "ready"
    connections: int = 0
    turn: int = 0
    is_probed: bool = False

    async def connect(self) -> trio.SocketStream:
        """Raises OSError when nobody accepts within `CONNECT_S`."""
        parts = urlsplit(self.url)
        try:
            with trio.fail_after(CONNECT_S):
                return await trio.open_tcp_stream(str(parts.hostname), parts.port or 0)
        except trio.TooSlowError:
            raise TimeoutError(f"{self.url} does not accept") from None


class Backends:
    """The servers of one balancer; they may change while it runs. A new one counts as ready until it says otherwise."""

    def __init__(self, *urls: str) -> None:
        self._all: dict[str, Backend] = {}
        self._turn = 0
        for url in urls:
            self.add(url)

    def add(self, url: str) -> Backend:
        """`url` is http or https with a port; calling it twice changes nothing."""
        return self._all.setdefault(url, Backend(url))

    def remove(self, url: str) -> None:
        """No new connection goes there. The present ones stay."""
        self._all.pop(url, None)

    def all(self) -> list[Backend]:
        return list(self._all.values())

    def choose(self, tried: Collection[Backend] = ()) -> Backend | None:
        """The one with the fewest connections, of several the one that waited longest, if any is up.

        Unready ones are chosen when there is no other: a gateway's own refusal says more than ours.
        """
        left = [each for each in self._all.values() if each.state != "down" and each not in tried]
        candidates = [each for each in left if each.state == "ready"] or left
        if not candidates:
            return None
        chosen = min(candidates, key=lambda each: (each.connections, each.turn))
        self._turn += 1
        chosen.turn = self._turn
        return chosen


async def run_probes(backends: Backends) -> None:
    """Ask every backend for its state, every `PROBE_S`, so that one which hangs does not delay the others."""
    async with trio.open_nursery() as nursery:
        while True:
            for backend in backends.all():
                if not backend.is_probed:
                    nursery.start_soon(_refresh, backend)
            await trio.sleep(PROBE_S)


async def probe(url: str) -> State:
    """What /readyz says: 200 is ready, any other answer is unready, none is down. Without /readyz /healthz counts."""
    with trio.move_on_after(PROBE_DEADLINE_S):
        try:
            status = await _status(url, "/readyz")
            if status == 404:
                status = await _status(url, "/healthz")
        except GONE:
            return "down"
        return "ready" if status == 200 else "unready"
    return "down"


async def _refresh(backend: Backend) -> None:
    backend.is_probed = True
    try:
        backend.state = await probe(backend.url)
    finally:
        backend.is_probed = False


async def _status(url: str, path: str) -> int:
    """The status of a GET; 0 for an answer that is no HTTP."""
    parts = urlsplit(url)
    tcp = await Backend(url).connect()
    stream: trio.abc.Stream = trio.SSLStream(tcp, _trusting()) if parts.scheme == "https" else tcp
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
        await stream.send_all(request.encode())
        answer = b""
        while len(answer) < ENOUGH and (data := await stream.receive_some()):
            answer += data
        code = answer[9:12]
        return int(code) if answer.startswith(b"HTTP/1.") and code.isdigit() else 0
    finally:
        await trio.aclose_forcefully(stream)


def _trusting() -> ssl.SSLContext:
    """A probe asks whether somebody serves, not who: certificates name the balancer's address, not the replica's."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
