"""Whose the sockets of some processes are, told by the ports at their ends (proc(5), /proc/net/tcp)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from scripts.bench.proc import PROC

#: A client's connection, one to a provider, to the database, to the Graph API, one to a metrics page; all others,
#: listening ones too.
Kind = Literal["client", "provider", "database", "graph", "metrics", "other"]
_LISTENING: Final = "0A"
_TABLES: Final = ("tcp", "tcp6")


@dataclass(frozen=True, slots=True)
class Ports:
    """What the other end, or our own, says about a connection."""

    doors: frozenset[int]
    metrics: frozenset[int]
    provider: int
    database: int | None
    graph: int | None = None

    def kind(self, local: int, remote: int) -> Kind:
        if local in self.doors:
            return "client"
        if local in self.metrics:
            return "metrics"
        if remote == self.provider:
            return "provider"
        if remote == self.graph:
            return "graph"
        return "database" if remote == self.database else "other"


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Open file descriptors, and the sockets among them by kind."""

    total: int
    sockets: Counter[Kind]

    @property
    def lasting(self) -> int:
        """Without connections, which come and go: to clients, providers, database, Graph API, of the metrics page."""
        return self.total - self.sockets.total() + self.sockets["other"]


def connections(tables: Iterable[str], ports: Ports) -> dict[str, Kind]:
    """Kinds by inode, of every TCP socket in these tables that does not listen."""
    found: dict[str, Kind] = {}
    for table in tables:
        for line in table.splitlines()[1:]:
            fields = line.split()
            if fields[3] != _LISTENING:
                local, remote = (int(address.rpartition(":")[2], 16) for address in fields[1:3])
                found[fields[9]] = ports.kind(local, remote)
    return found


def descriptors(pids: Iterable[int], ports: Ports) -> Descriptors:
    """Of all these processes together; those that are gone have none."""
    tables = [(PROC / "net" / name).read_text() for name in _TABLES if (PROC / "net" / name).exists()]
    return count(_links(pids), connections(tables, ports))


def count(links: Iterable[str], kinds: Mapping[str, Kind]) -> Descriptors:
    """`links` are what descriptors point at, such as `socket:[4711]`."""
    total, sockets = 0, Counter[Kind]()
    for link in links:
        total += 1
        if link.startswith("socket:["):
            sockets[kinds.get(link[8:-1], "other")] += 1
    return Descriptors(total, sockets)


def _links(pids: Iterable[int]) -> Iterable[str]:
    for pid in pids:
        with suppress(OSError):
            for each in (PROC / str(pid) / "fd").iterdir():
                with suppress(OSError):
                    yield os.readlink(each)
