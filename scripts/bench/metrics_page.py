"""What a gateway's own `/metrics` says, read as numbers by name."""

from __future__ import annotations

import http.client
import socket
from collections import defaultdict
from contextlib import ExitStack
from typing import Final

from scripts.bench.questions import HOST

PATH: Final = "/metrics"
ANSWER_S: Final = 5.0
TRIES: Final = 100


class Samples(defaultdict[str, float]):
    """Values by name; what the page does not have is 0."""

    def __init__(self) -> None:
        super().__init__(float)


def read_page(port: int) -> str | None:
    """The page of one process; None when there is none."""
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_S)
    try:
        connection.request("GET", PATH)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return text if response.status == 200 else None


def samples(pages: str) -> Samples:
    """The sum of samples that differ in labels only, or in the process that shows them; buckets keep their bounds."""
    found = Samples()
    for line in pages.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            plain = name.partition("{")[0]
            found[name if plain.endswith("_bucket") else plain] += float(value)
    return found


def free_ports(count: int) -> list[int]:
    """Neighbours: the workers of one gateway show their metrics on ports one above the other. Raises OSError."""
    for _ in range(TRIES):
        with ExitStack() as taken:
            first = taken.enter_context(socket.create_server((HOST, 0))).getsockname()[1]
            try:
                for port in range(first + 1, first + count):
                    taken.enter_context(socket.create_server((HOST, port)))
            except (OSError, OverflowError):
                continue
            return list(range(first, first + count))
    raise OSError(f"no {count} free ports side by side")
