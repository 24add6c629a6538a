"""URLs that tenants name and we fetch: what they may look like, and which addresses they may lead to.

A name says nothing about where it leads, so every address that it resolves to is asked for `is_public` at every
connection (pains.md section 3). The standard library's `is_global` alone would let NAT64, 6to4 and multicast pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from app.core.errors import Problem

LONGEST_URL: Final = 2048
LONGEST_NAME: Final = 253
HIGHEST_PORT: Final = 65_535
URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[^\s/?#@:\[\]\\]+)(?::(?P<port>[0-9]{1,5}))?(?P<path>[/?][!-\"$-~]*)?",
    re.IGNORECASE,
)
LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
#: A last label that makes a system's resolver read the whole as a number (127.1, 0x7f.1, 2130706433).
NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
#: The old rules for international names turn these into others, or into nothing: another name than was meant.
AMBIGUOUS: Final = re.compile("[ß\u03c2\u200c\u200d]")
#: Never the end of a name of the internet.
LOCAL: Final = frozenset({"localhost", "local", "internal"})
REFUSED_IPV4: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
UNICAST_IPV6: Final = IPv6Network("2000::/3")
#: Tunnels, protocol assignments and documentation within it.
REFUSED_IPV6: Final = (IPv6Network("2001::/23"), IPv6Network("2002::/16"), IPv6Network("3fff::/20"))
NAT64: Final = IPv6Network("64:ff9b::/96")

SHAPE: Final = (
    "url must be https://HOST, with a port and a path if you like, without user, password or fragment; "
    "percent-encode what is not ASCII."
)
NOT_PUBLIC: Final = "url must name a public host of the internet."


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect to and what to ask for; `host` is an ASCII name or an address without brackets."""

    tls: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def read_target(url: str, *, private: bool = False) -> Target:
    """Raises Problem 400 for a URL that cannot be fetched, or that shows at once that it leads to no public host.

    With `private` http and any host will do.
    """
    match = URL.fullmatch(url) if len(url) <= LONGEST_URL else None
    if match is None:
        raise _wrong(SHAPE)
    tls = match["scheme"].lower() == "https"
    if not (tls or private):
        raise _wrong("url must begin with https://.")
    port = int(match["port"] or (443 if tls else 80))
    if not 1 <= port <= HIGHEST_PORT:
        raise _wrong(f"The port in url must be from 1 to {HIGHEST_PORT}.")
    path = match["path"] or "/"
    return Target(tls, _host(match["host"], private), port, path if path.startswith("/") else f"/{path}")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it belongs to a host of the internet; an IPv4 address inside of an IPv6 one is looked at, too."""
    if isinstance(address, IPv4Address):
        within = any(address in network for network in REFUSED_IPV4)
        return address.is_global and not address.is_multicast and not within
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    within = any(address in network for network in REFUSED_IPV6)
    return address in UNICAST_IPV6 and address.is_global and not within


def _host(text: str, private: bool) -> str:
    if text.startswith("["):
        try:
            address = IPv6Address(text[1:-1])
        except ValueError:
            raise _wrong("The address in url is not one of IPv6.") from None
        return _checked(address, private)
    name = _ascii(text).removesuffix(".")
    labels = name.split(".")
    if NUMBER.fullmatch(labels[-1]):
        try:
            return _checked(IPv4Address(name), private)
        except ValueError:
            raise _wrong("Write an IPv4 address in url as four decimal numbers.") from None
    if len(name) > LONGEST_NAME or not all(map(LABEL.fullmatch, labels)):
        raise _wrong("The host in url is not a name.")
    if not private and (len(labels) == 1 or labels[-1] in LOCAL):
        raise _wrong(NOT_PUBLIC)
    return name


def _checked(address: IPv4Address | IPv6Address, private: bool) -> str:
    if not (private or is_public(address)):
        raise _wrong(NOT_PUBLIC)
    return str(address)


def _ascii(name: str) -> str:
    """An international name in its ASCII form, in lower case."""
    if name.isascii():
        return name.lower()
    try:
        if AMBIGUOUS.search(name) or len(name) > LONGEST_NAME:
            raise UnicodeError
        return name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise _wrong("Write the host in url in its ASCII form (xn--...).") from None


def _wrong(message: str) -> Problem:
    return Problem("invalid_value", message, "url")
