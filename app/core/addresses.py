"""Where a client really is: the connection's address, or what a trusted proxy says of it; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]
#: What one customer of a provider is given at the least: whoever has one IPv6 address has these 2**64.
IPV6_PREFIX: Final = 64
_WITH_PORT: Final = re.compile(r"\[(?P<six>[^\]]+)\](:\d+)?|(?P<four>[^:]+):\d+")


def read_networks(text: str) -> Networks:
    """Addresses and networks, separated by commas. Raises ValueError that names the one that is neither."""
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def client_address(peer: str, forwarded: Sequence[str], trusted: Networks) -> str:
    """The address that a request comes from, "" when the connection has none.

    `forwarded` are the entries of X-Forwarded-For, the nearest last: each proxy adds whom it was asked by. Only what a
    trusted one has added is believed, so that a client cannot choose its own address.
    """
    address = _read(peer)
    if address is None:
        return ""
    for entry in reversed(forwarded):
        further = _read(entry) if _within(address, trusted) else None
        if further is None:
            break
        address = further
    return str(address)


def address_bucket(address: str) -> str:
    """What one client cannot leave by changing its address: the address itself, of IPv6 its network."""
    read = _read(address)
    return str(ip_network((read, IPV6_PREFIX), strict=False)) if isinstance(read, IPv6Address) else address


def _read(text: str) -> Address | None:
    """An address with or without a port; an IPv4 one that is dressed up as IPv6 is IPv4."""
    found = _WITH_PORT.fullmatch(text.strip())
    try:
        address = ip_address((found["six"] or found["four"]) if found else text.strip())
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))  # without the zone, which is the machine's own affair
    return address


def _within(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks)
