"""Requests that are to reach inside: addresses in every spelling, names that lead inside, rebinding, redirects.

Stopped is what opened no connection to anything but the one address outside; no answer is believed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from redteam.house import House, suite
from redteam.internet import MARK, OUTSIDE, Internet
from redteam.report import Report, Room

_TARGETS = ("127.0.0.1", "169.254.169.254", "10.0.0.5", "192.168.1.1", "100.100.100.200", "0.0.0.0")
_NAMES = (
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "inside.example", "metadata.example", "both.example",
    "six.example", "mapped.example", "nat64.example", "sixtofour.example", "scoped.example", "local.example",
    "metadata.google.internal", "127.0.0.1.nip.example", "①②⑦.⓪.⓪.①", "127。0。0。1", "127．0．0．1", "１２７.0.0.1",
    "localhoſt", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "lo\u00adcalhost", "127.0.0.1%00.outside.example", "127.0.0.1%2f.outside.example",
)  # fmt: skip
_SCHEMES = (
    "file:///etc/passwd", "file://localhost/etc/passwd", "gopher://127.0.0.1:6379/_INFO", "dict://127.0.0.1:11211/stat",
    "ftp://127.0.0.1/", "ldap://127.0.0.1/", "jar:http://127.0.0.1!/", "tftp://127.0.0.1/x", "data:text/html,x",
    "unix:/var/run/docker.sock", "http+unix://%2Fvar%2Frun%2Fdocker.sock/", "sftp://127.0.0.1/", "ws://127.0.0.1/",
    "javascript:fetch('http://127.0.0.1')", "netdoc:///etc/passwd", "view-source:http://127.0.0.1/", "//127.0.0.1/",
    "http:127.0.0.1", "http:/127.0.0.1/", "http:///127.0.0.1/", "HTTP://127.0.0.1", "url:http://127.0.0.1/",
)  # fmt: skip


def _numbers(address: str) -> Iterator[str]:
    """Every way to write an IPv4 address that some resolver or URL parser reads."""
    a, b, c, d = map(int, address.split("."))
    whole = int(ipaddress.IPv4Address(address))
    yield from (address, f"{address}.", f"{whole}", f"0x{whole:x}", f"0X{whole:08X}", f"0{whole:o}")
    yield from (f"{a}.{b << 16 | c << 8 | d}", f"{a}.{b}.{c << 8 | d}", f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}")
    yield from (f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"000{a:o}.{b}.{c}.{d}", f"0x{a:x}.{b}.0{c:o}.{d}")
    yield from (f"{a:03}.{b:03}.{c:03}.{d:03}", f"{a}.{b}.{c}.{d + 256}", f"{whole + 2**32}")
    yield "%2e".join(address.split("."))
    yield "".join(f"%{ord(sign):02x}" for sign in address)


def _sixes(address: str) -> Iterator[str]:
    """IPv6 addresses that hold an IPv4 address, as transition mechanisms write them (RFC 4291, 6052, 3056, 4380)."""
    high, low = divmod(int(ipaddress.IPv4Address(address)), 0x10000)
    yield from (f"[::ffff:{address}]", f"[::ffff:{high:x}:{low:x}]", f"[0:0:0:0:0:ffff:{address}]", f"[::{address}]")
    yield from (f"[64:ff9b::{address}]", f"[64:ff9b:1::{address}]", f"[2002:{high:x}:{low:x}::1]")
    yield from (f"[::ffff:0:{address}]", f"[2001:0:{high:x}:{low:x}::]", f"[fe80::5efe:{address}]")
    yield from (f"[::ffff:{address}%25eth0]", f"[0000:0000:0000:0000:0000:ffff:{high:04x}:{low:04x}]")


def _fixed_hosts() -> Iterator[str]:
    yield from ("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::1%25lo]", "[fe80::1%25eth0]", "[fd00:ec2::254]", "[ff02::1]")
    yield from ("127.1", "127.0.1", "0", "0x7f.1", "0177.1", "127.127.127.127", "255.255.255.255", "224.0.0.1")
    yield from ("168.63.129.16", "192.0.0.192", "198.18.0.1", "100.64.0.1", *_NAMES)


def _confused(host: str) -> Iterator[str]:
    """URLs of which two parsers may name different hosts."""
    yield from (
        f"http://outside.example@{host}/",
        f"http://outside.example:80@{host}/",
        f"http://{host}\\@outside.example/",
    )
    yield from (f"http://a:b@c@{host}/", f"http://{host}:80/", f"http://{host}:22/")
    yield from (
        f"http://{host}?@outside.example/",
        f"http://{host}#@outside.example/",
        f"http://{host};outside.example/",
    )
    yield from (f"http://outside.example&@{host}#@outside.example/", f"http:\\\\{host}\\", f" http://{host}/ ")
    yield from (
        f"ht\ttp://{host}/",
        f"http://{host}\n/",
        f"http://{host}\r\nX: y/",
        f"http://{host}\x00.outside.example/",
    )


def attacks(rounds: int) -> Iterator[str]:
    """All URLs; `rounds` is how many names are rebound."""
    hosts = [*_fixed_hosts(), *(host for one in _TARGETS for host in (*_numbers(one), *_sixes(one)))]
    for host in dict.fromkeys(hosts):
        yield f"http://{host}/"
        yield f"https://{host}/latest/meta-data/"
        yield _redirect(f"http://{host}/")
    for host in ("127.0.0.1", "169.254.169.254", "[::1]", "2130706433"):
        yield from _confused(host)
    yield from _SCHEMES
    yield from map(_redirect, _SCHEMES)
    yield _redirect(_redirect("http://127.0.0.1/"))
    for number in range(rounds):
        name = f"rebind-{number}.example"
        # The second look at the name, by the redirect, finds it inside.
        yield f"http://{name}/to/" + f"http://{name}/secret".encode().hex()


def _redirect(url: str) -> str:
    return f"http://outside.example/to/{url.encode().hex()}"


async def attack(house: House, room: Room) -> Report:
    """Have every URL fetched by Marco, as an agent would."""
    report = Report()
    async with Internet().there() as internet:
        for url in (f"http://{OUTSIDE}/", "http://outside.example/", _redirect("http://www.outside.example/")):
            heard = await house.call("ada", "mads.marco.fetch", url=url)
            report.control(f"{url} was not fetched: {heard.code}", passed=heard.code == "ok")
        for url in room.draw(attacks(20)):
            before = len(internet.inside)
            heard = await house.call("ada", "mads.marco.fetch", url=url)
            stopped = len(internet.inside) == before and MARK not in heard.text and heard.status == 200
            report.count(f"{url!r} {heard.code} {internet.inside[before:]}", stopped=stopped)
        rebound = await house.call("ada", "mads.marco.fetch", url="http://rebind-control.example/")
        report.control(f"a name was not fetched once: {rebound.code}", passed=rebound.code == "ok")
    return report


play = suite(attack)
