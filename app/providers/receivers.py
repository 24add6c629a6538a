"""The way out to hosts that others name: only to public addresses, checked at every connection, never redirected.

A name is resolved once; when any address it has is not public nothing is connected to, else the socket is opened to the
very address that was looked at: a name that leads elsewhere a moment later gains nothing (pains.md section 3).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import SOCK_STREAM, AddressFamily, getaddrinfo
from typing import Final

import trio

from app.core.errors import Problem
from app.core.public_hosts import Target, is_public, read_target
from app.providers.wire import Connection, Headers, WireBroken, begin

Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Awaitable[Sequence[Address]]]
REPLY_CAP: Final = 4096
#: How long an answer whose status is known may take to be read further, and how long before the caller's own deadline
#: that ends: a status that has come in time counts, whatever follows.
REPLY_S: Final = 2.0
MARGIN_S: Final = 0.1
#: Each address of a name is given so long, and no more of them are tried.
CONNECT_S: Final = 4.0
MOST_ADDRESSES: Final = 4
#: A name server that hangs keeps these threads and no others.
LOOKUPS: Final = 64
NO_ADDRESS: Final = "the host leads to no public address"


class Unreachable(Exception):
    """No status came back; the words are for the tenant who named the host."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The receiver's status, and the beginning of its body."""

    status: int
    body: bytes


class TooLarge(Exception):
    """There is more than was asked for at the most."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What lay at a URL. Header names are in lower case; the body of another status than 200 is not read."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Resolver:
    """Asks the system, in threads of its own. Raises OSError."""

    def __init__(self) -> None:
        self._threads = trio.CapacityLimiter(LOOKUPS)

    async def __call__(self, host: str) -> Sequence[Address]:
        ask = partial(getaddrinfo, host, None, type=SOCK_STREAM)
        found = await trio.to_thread.run_sync(ask, abandon_on_cancel=True, limiter=self._threads)
        return [ip_address(place[0]) for *_, place in found]


class Receivers:
    """Posts to URLs of tenants. With `private` http and hosts of one's own network will do: for development."""

    def __init__(
        self, *, private: bool = False, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._private = private
        self._resolve = resolve or Resolver()
        self._given_tls = tls

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or ssl.create_default_context()

    async def post(self, url: str, headers: Headers, body: bytes) -> Answer:
        """Send `body` and wait for the status. Raises Unreachable; the caller sets the deadline of it all."""
        async with self._reach(url) as (connection, target):
            return await _ask(connection, target, headers, body)

    async def get(self, url: str, headers: Headers, cap: int) -> Loaded:
        """What lies at `url`, read to its end. Raises Unreachable, and TooLarge as soon as more than `cap` bytes are
        promised or have come; the caller sets the deadline of it all.
        """
        async with self._reach(url) as (connection, target):
            return await _load(connection, target, headers, cap)

    @asynccontextmanager
    async def _reach(self, url: str) -> AsyncIterator[tuple[Connection, Target]]:
        try:
            target = read_target(url, private=self._private)
        except Problem as problem:
            raise Unreachable(problem.message) from None
        connection = await self._connect(target)
        try:
            yield connection, target
        except WireBroken as error:
            raise Unreachable(f"the connection broke: {error}") from None
        finally:
            with trio.CancelScope(shield=True):
                await connection.aclose()

    async def _connect(self, target: Target) -> Connection:
        error: OSError | None = None
        for address in (await self._addresses(target))[:MOST_ADDRESSES]:
            try:
                with trio.fail_after(CONNECT_S):
                    stream = await _open(address, target.port)
                    return await begin(stream, target.host, self._tls if target.tls else None)
            except trio.TooSlowError:
                error = OSError(f"no connection within {CONNECT_S:g} s")
            except OSError as refused:
                error = refused
        raise Unreachable(f"could not connect: {error}")

    async def _addresses(self, target: Target) -> Sequence[Address]:
        try:
            addresses = await self._resolve(target.host)
        except (OSError, ValueError):
            addresses = ()
        if not addresses or not (self._private or all(map(is_public, addresses))):
            raise Unreachable(NO_ADDRESS)
        return addresses


async def _open(address: Address, port: int) -> trio.SocketStream:
    family = AddressFamily.AF_INET if address.version == 4 else AddressFamily.AF_INET6
    socket = trio.socket.socket(family, SOCK_STREAM)
    try:
        await socket.connect((str(address), port))
    except BaseException:
        socket.close()
        raise
    return trio.SocketStream(socket)


async def _ask(connection: Connection, target: Target, headers: Headers, body: bytes) -> Answer:
    sent = [(b"Host", target.authority.encode()), *headers, (b"Content-Length", b"%d" % len(body))]
    status, _ = await connection.ask(b"POST", target.path.encode(), [*sent, (b"Connection", b"close")], body)
    reply = bytearray()
    with trio.move_on_at(min(trio.current_time() + REPLY_S, trio.current_effective_deadline() - MARGIN_S)):
        try:
            while len(reply) < REPLY_CAP and (piece := await connection.receive()):
                reply += piece
        except WireBroken:
            pass
    return Answer(status, bytes(reply[:REPLY_CAP]))


async def _load(connection: Connection, target: Target, headers: Headers, cap: int) -> Loaded:
    sent = [(b"Host", target.authority.encode()), *headers, (b"Connection", b"close")]
    status, head = await connection.ask(b"GET", target.path.encode(), sent, b"")
    named = {name.decode("latin1").lower(): value.decode("latin1") for name, value in head}
    if status != 200:
        return Loaded(status, named)
    length = named.get("content-length", "")
    if length.isdecimal() and int(length) > cap:
        raise TooLarge
    body = bytearray()
    while piece := await connection.receive():
        body += piece
        if len(body) > cap:
            raise TooLarge
    return Loaded(status, named, bytes(body))
