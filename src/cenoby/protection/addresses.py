"""Which internet addresses lie outside: an explicit list, because `ipaddress` of Python 3.11 is no oracle.

Its `is_global` is true for NAT64, 6to4, site-local and multicast, and `is_private` is false for 100.64.0.0/10, so both
families are listed here from the IANA special-purpose registries (RFC 6890 and its successors).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_IPV4 = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "carrier-grade NAT",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "cloud metadata",
    "169.254.0.0/16": "link-local or cloud metadata",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "protocol assignments or cloud metadata",
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "AS112",
    "192.52.193.0/24": "multicast tunnelling",
    "192.88.99.0/24": "6to4 relay",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "AS112",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved or broadcast",
}
_IPV6_OUTSIDE = ipaddress.IPv6Network("2000::/3")
_IPV6 = {
    "2001::/23": "Teredo or protocol assignments",
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",
    "2620:4f:8000::/48": "AS112",
    "3fff::/20": "documentation",
}
# Reached only by an exception that spells the address itself: a name must never lead to them.
_METADATA = (
    "169.254.0.0/16",
    "168.63.129.16/32",
    "192.0.0.192/32",
    "100.100.100.200/32",
    "fd00:ec2::/32",
    "fe80::/10",
)

_ipv4_inside = [(ipaddress.IPv4Network(block), why) for block, why in _IPV4.items()]
_ipv6_inside = [(ipaddress.IPv6Network(block), why) for block, why in _IPV6.items()]
_metadata = [ipaddress.ip_network(block) for block in _METADATA]
_mapped = ipaddress.IPv6Network("::ffff:0:0/96")


def parse_address(text: str) -> Address | None:
    """The address that `text` spells in its canonical notation, or None; `0x7f.1`, `127.1` and `010.0.0.1` are None."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return address


def looks_numeric(host: str) -> bool:
    """Whether resolvers may read `host` as a number and not as a name (WHATWG URL, "ends in a number" checker)."""
    last = host.rstrip(".").rsplit(".", 1)[-1].lower()
    return last.isdigit() or (last.startswith("0x") and all(digit in "0123456789abcdef" for digit in last[2:]))


def why_inside(address: Address) -> str | None:
    """Why `address` must not be reached from a colony, in a few words; None for an address outside."""
    plain = _unwrap(address)
    if isinstance(plain, ipaddress.IPv4Address):
        return next((why for block, why in _ipv4_inside if plain in block), None)
    if plain.scope_id is not None:
        return "scoped"
    if plain not in _IPV6_OUTSIDE:
        return "not global unicast"
    return next((why for block, why in _ipv6_inside if plain in block), None)


def is_metadata(address: Address) -> bool:
    """Whether a cloud's metadata service, or anything link-local, answers there."""
    plain = _unwrap(address)
    return any(plain in block for block in _metadata if block.version == plain.version)


def first_inside(addresses: Sequence[Address]) -> tuple[Address, str] | None:
    """The first of `addresses` that lies inside, with the reason."""
    for address in addresses:
        why = why_inside(address)
        if why is not None:
            return address, why
    return None


def _unwrap(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address) and address in _mapped:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
