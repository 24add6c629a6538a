"""Which URLs of tenants are taken, and which addresses they may lead to (pains.md section 3)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Problem
from app.core.public_hosts import Target, is_public, read_target

INSIDE = (
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1"),  # noqa: S104
    *("172.31.255.255", "192.168.1.1", "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
)
INSIDE_IPV6 = (
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:a00:1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1"),
    *("2001::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd12::1"),
    *("fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ffff::1"),
)
OUTSIDE = ("1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")


@pytest.mark.parametrize("address", INSIDE + INSIDE_IPV6)
def test_an_address_of_nobody_or_of_ones_own_network_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_within_another_is_as_public_as_by_itself(address: IPv4Address) -> None:
    for prefix in (0xFFFF << 32, 0x64FF9B << 96):
        assert is_public(IPv6Address(prefix | int(address))) == is_public(address)


@given(st.ip_addresses())
def test_nothing_is_public_that_the_standard_library_knows_not_to_be(address: IPv4Address | IPv6Address) -> None:
    if isinstance(address, IPv4Address) and is_public(address):
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target(True, "example.com", 443, "/")),
        ("HTTPS://Example.COM:8443/a?b=c&d", Target(True, "example.com", 8443, "/a?b=c&d")),
        ("https://example.com?x", Target(True, "example.com", 443, "/?x")),
        ("https://example.com./hook", Target(True, "example.com", 443, "/hook")),
        ("https://bücher.example/", Target(True, "xn--bcher-kva.example", 443, "/")),
        ("https://xn--bcher-kva.example/", Target(True, "xn--bcher-kva.example", 443, "/")),
        ("https://8.8.8.8:1/", Target(True, "8.8.8.8", 1, "/")),
        ("https://[2606:4700::1111]/", Target(True, "2606:4700::1111", 443, "/")),
    ],
)
def test_a_public_url_is_taken_apart(url: str, target: Target) -> None:
    assert read_target(url) == target


@pytest.mark.parametrize(
    ("target", "authority"),
    [
        (Target(True, "a.example", 443, "/"), "a.example"),
        (Target(True, "a.example", 80, "/"), "a.example:80"),
        (Target(False, "a.example", 80, "/"), "a.example"),
        (Target(True, "2606::1", 8443, "/"), "[2606::1]:8443"),
    ],
)
def test_the_host_header_names_a_port_that_is_not_the_usual_one(target: Target, authority: str) -> None:
    assert target.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "//example.com", "http://example.com", "ftp://example.com", "https://", "https:///a"),
        *("https://user@example.com", "https://user:pass@example.com", "https://example.com#part", "https://a b.com"),
        *("https://example.com/a b", "https://example.com/ü", "https://example.com/a\r\nX: 1", "https://example.com\n"),
        *("https://example.com\\@127.0.0.1/", "https://127.0.0.1\\.example.com", "https://exa\tmple.com"),
        *("https://example.com:0", "https://example.com:65536", "https://example.com:x", "https://example.com:"),
        *("https://localhost", "https://a.localhost", "https://printer.local", "https://metadata.google.internal"),
        *("https://intranet", "https://.com", "https://a..com", "https://-a.com", "https://a-.com", "https://%31.com"),
        *("https://2130706433", "https://0x7f000001", "https://017700000001", "https://127.1", "https://0x7f.0.0.1"),
        *(
            "https://0177.0.0.1",
            "https://127.0.0.1.",
            "https://127.000.000.001",
            "https://1.2.3.4.5",
            "https://8.8.8.08",
        ),
        *(
            "https://\uff11\uff12\uff17.0.0.1",
            "https://127\u30020\u30020\u30021",
            "https://\u24dbocalhost",
            "https://faß.de",
            "https://a\u200db.com",
        ),
        *(f"https://{address}/" for address in INSIDE),
        *(f"https://[{address}]/" for address in INSIDE_IPV6),
        *("https://[::1", "https://::1/", "https://[fe80::1%25eth0]/", "https://[1.2.3.4]/", "https://[v1.a]/"),
        *(f"https://{'a' * 64}.com", f"https://{'a.' * 130}com", f"https://{'ü' * 3000}.com"),
        f"https://a.com/{'x' * 2048}",
    ],
)
def test_any_other_url_is_refused_by_name(url: str) -> None:
    with pytest.raises(Problem) as raised:
        read_target(url)
    assert (raised.value.code, raised.value.param) == ("invalid_value", "url")


@pytest.mark.parametrize("url", ["http://localhost:9/x", "http://127.0.0.1", "https://[::1]:8443/", "http://receiver/"])
def test_for_development_any_host_will_do(url: str) -> None:
    assert read_target(url, private=True).authority in url


@pytest.mark.parametrize("url", ["ftp://localhost", "http://u@localhost", "http://127.1", "http://a b"])
def test_for_development_a_url_is_still_a_url(url: str) -> None:
    with pytest.raises(Problem):
        read_target(url, private=True)


@given(st.text(max_size=60))
def test_no_text_does_more_harm_than_to_be_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://a.example/{text}"):
        try:
            target = read_target(url)
        except Problem:
            continue
        assert f"{target.authority}{target.path}".isascii()
        assert not set(target.path) & set(" \r\n\t#")
