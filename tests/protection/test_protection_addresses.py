"""Which addresses and URLs lead outside, and which exceptions the settings make."""

from __future__ import annotations

import ipaddress
from contextlib import suppress

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.kernel.settings import EgressSettings
from cenoby.protection.addresses import Address, is_metadata, looks_numeric, parse_address, why_inside
from cenoby.protection.egress_policy import EgressPolicy, EgressRefused


def settings(*allow: str) -> EgressSettings:
    return EgressSettings(allow=list(allow))


INSIDE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "169.254.169.254",
    "168.63.129.16", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1",
    "2001:20::1",
    "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2620:4f:8000::1", "3fff::1", "5f00::1", "fc00::1",
    "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "ff02::1", "4000::1",
]  # fmt: skip
OUTSIDE = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "192.0.1.1", "198.20.0.1",
           "223.255.255.255", "2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450::1",
           "::ffff:8.8.8.8"]  # fmt: skip


@pytest.mark.parametrize("text", INSIDE)
def test_every_special_block_is_inside(text: str) -> None:
    """Loopback, private, link-local, metadata, translated and reserved addresses are refused in both families."""
    address = parse_address(text)
    assert address is not None
    assert why_inside(address)


@pytest.mark.parametrize("text", OUTSIDE)
def test_ordinary_addresses_are_outside(text: str) -> None:
    """The neighbours of the blocks, and well-known public addresses, can be reached."""
    address = parse_address(text)
    assert address is not None
    assert why_inside(address) is None


@given(st.ip_addresses())
def test_nothing_the_standard_library_calls_private_is_outside(address: Address) -> None:
    """The list is at least as strict as `ipaddress` on every property that means inside (mapped ones: next test)."""
    if address.version == 6 and address.ipv4_mapped:
        return
    if (
        address.is_loopback
        or address.is_private
        or address.is_multicast
        or address.is_reserved
        or address.is_link_local
    ):
        assert why_inside(address)


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_what_it_maps_to(address: ipaddress.IPv4Address) -> None:
    """::ffff:a.b.c.d gets the verdict of a.b.c.d."""
    mapped = ipaddress.IPv6Address(0xFFFF_0000_0000 | int(address))
    assert why_inside(mapped) == why_inside(address)
    assert is_metadata(mapped) == is_metadata(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://127.0.0.1./", "http://0x7f.1/", "http://0x7f000001/", "http://2130706433/", "http://127.1/",
        "http://1.0x7f/", "http://foo.2130706433/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:ffff:7f00:0001]/", "http://[::127.0.0.1]/", "http://[64:ff9b::127.0.0.1]/", "http://[fe80::1%25eth0]/",
        "http://[fd00:ec2::254]/latest/meta-data", "http://169.254.169.254/latest/meta-data/", "https://10.0.0.1/",
    ],
)  # fmt: skip
def test_inside_addresses_are_refused_in_every_spelling(url: str) -> None:
    """Hexadecimal, decimal, short, mapped and dotted-to-the-end spellings lead nowhere, before any look-up."""
    with pytest.raises(EgressRefused) as caught:
        EgressPolicy(settings()).check(url)
    assert caught.value.code in {"egress_address", "egress_url"}


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://example.org/", "gopher://example.org/", "http:///x", "http://", "", "example.org",
        "//example.org",
        "http://user:secret@example.org/", "http://127.0.0.1:80\\@example.org/", "http://exa mple.org/",
        "http://example.org:99999/",
        "http://0177.0.0.1/", "http://１２７.０.０.１/", "http://example.org\x00/", "http://a..b/",
        "http://-a/", "javascript:alert(1)",
        "http://" + "a" * 9000,
    ],
)  # fmt: skip
def test_what_is_no_web_address_is_refused(url: str) -> None:
    """Other schemes, user names, control characters and hosts that are no hosts get `egress_url`."""
    with pytest.raises(EgressRefused) as caught:
        EgressPolicy(settings()).check(url)
    assert caught.value.code == "egress_url"


@given(st.text(max_size=60))
def test_no_text_breaks_the_check(text: str) -> None:
    """Whatever a caller sends as a URL is either let out or refused by code."""
    policy = EgressPolicy(settings())
    for url in (text, f"http://{text}/", f"http://example.org/{text}", f"https://example.org:{text}/"):
        with suppress(EgressRefused):
            host = policy.check(url).host
            literal = parse_address(host)
            assert why_inside(literal) is None if literal else not looks_numeric(host)


def test_ports_are_closed_unless_listed_or_excepted() -> None:
    """Only `egress.ports` are open, and an exception opens one port of one host."""
    policy = EgressPolicy(settings("example.org:8443"))
    assert policy.check("https://example.org:8443/").port == 8443
    assert policy.check("https://EXAMPLE.org.:8443/").host == "example.org"
    for url in ("https://example.org:22/", "https://other.org:8443/"):
        with pytest.raises(EgressRefused) as caught:
            policy.check(url)
        assert caught.value.code == "egress_port"
    assert "example.org:22" in _message(policy, "https://example.org:22/")


def _message(policy: EgressPolicy, url: str) -> str:
    with pytest.raises(EgressRefused) as caught:
        policy.check(url)
    return caught.value.message


def test_an_exception_covers_exactly_its_host_and_port() -> None:
    """`127.0.0.1:8000` opens neither another port, nor another address, nor the same machine by name."""
    policy = EgressPolicy(settings("127.0.0.1:8000", "[::1]:8000"))
    assert policy.check("http://127.0.0.1:8000/").port == 8000
    assert policy.check("http://[0:0:0:0:0:0:0:1]:8000/").host == "::1"
    for url in (
        "http://127.0.0.1:8001/",
        "http://127.0.0.2:8000/",
        "http://127.1:8000/",
        "http://[::ffff:127.0.0.1]:8000/",
    ):
        with pytest.raises(EgressRefused) as caught:
            policy.check(url)
        assert caught.value.code == "egress_address"


def test_the_library_still_normalises_urls_as_assumed() -> None:
    """The policy relies on these readings of httpx2; an update that changes them fails here."""
    assert httpx2.URL("HTTP://EXAMPLE.org:80/a#b").raw_host == b"example.org"
    assert httpx2.URL("http://127.0.0.1:80\\@x/").userinfo
