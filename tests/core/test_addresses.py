"""A client's address: what a proxy that is trusted has added counts, and nothing that a client has made up."""

from __future__ import annotations

import pytest

from app.core.addresses import address_bucket, client_address, read_networks

PROXIES = read_networks("10.0.0.0/8, 192.0.2.7,fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["1.1.1.1", " 198.51.100.1 "], "198.51.100.1"),
        ("10.1.2.3", ["198.51.100.1", "192.0.2.7"], "198.51.100.1"),
        ("10.1.2.3", ["10.9.9.9", "10.8.8.8"], "10.9.9.9"),
        ("10.1.2.3", ["198.51.100.1", "unknown"], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.1", ""], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.1:5060"], "198.51.100.1"),
        ("fd00::1", ["[2001:db8::5]:443"], "2001:db8::5"),
        ("::ffff:10.1.2.3", ["2001:db8::5"], "2001:db8::5"),
        ("fe80::1%eth0", [], "fe80::1"),
        ("", ["198.51.100.1"], ""),
        ("a socket", [], ""),
    ],
)
def test_only_what_trusted_proxies_have_added_is_believed(peer: str, forwarded: list[str], address: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == address


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert client_address("10.1.2.3", ["198.51.100.1"], ()) == "10.1.2.3"


def test_an_ipv6_client_does_not_escape_by_another_address_of_its_network() -> None:
    assert address_bucket("2001:db8:1:2:aaaa::1") == address_bucket("2001:db8:1:2:bbbb::2") == "2001:db8:1:2::/64"
    assert address_bucket("2001:db8:1:3::1") != address_bucket("2001:db8:1:2::1")
    assert address_bucket("198.51.100.1") == "198.51.100.1"


def test_what_is_no_network_is_named() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/33"):
        read_networks("::1, 10.0.0.0/33")
