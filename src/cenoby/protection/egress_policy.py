"""Where a request may go: URLs, ports, literal addresses, and the addresses that a name leads to."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx2

from cenoby.kernel.errors import Refused
from cenoby.kernel.settings_egress import EgressSettings
from cenoby.kernel.settings_section import host_and_port
from cenoby.protection.addresses import Address, first_inside, is_metadata, looks_numeric, parse_address

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_LONGEST_URL = 8192


class EgressRefused(Refused):
    """A request that may not leave, or whose answer may not come in."""

    codes = {
        "egress_url": "The URL is not one that can be fetched: http(s)://host/path without a user name.",
        "egress_address": "The address lies inside the machine or its network; `egress.allow` names exceptions.",
        "egress_port": "The port is not among `egress.ports`; `egress.allow` names exceptions as host:port.",
        "egress_rule": "A rule of `egress.rules`, or `egress.default`, does not let the request out; it is named.",
        "egress_query": "The URL's query is longer than `egress.longest_query` or a rule allows: it carries data out.",
        "egress_redirects": "Too many redirects, or one that cannot be followed safely.",
        "egress_too_large": "The answer is larger, decompressed, than `egress.max_bytes`.",
    }


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads, after the checks that need no network."""

    url: httpx2.URL
    host: str
    port: int

    @property
    def scheme(self) -> str:
        return self.url.scheme

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def place(self) -> str:
        return _joined(self.host, self.port)


class EgressPolicy:
    """What the settings let out.

    Args:
        settings: open ports, and exceptions as host:port.
    """

    def __init__(self, settings: EgressSettings) -> None:
        self._allow = frozenset(_normal_exception(item) for item in settings.allow)
        self._ports = frozenset(settings.ports)

    def check(self, url: str) -> Target:
        """The checks of a URL that need no network.

        Raises:
            EgressRefused: a scheme, spelling, literal address or port that is not allowed.
        """
        target = _parse(url)
        if (target.host, target.port) in self._allow:
            return target
        literal = parse_address(target.host)
        if literal is None and looks_numeric(target.host):
            raise EgressRefused(
                "egress_address",
                f"{target.host} is an unusual spelling of an address; write it as four decimal numbers.",
            )
        if literal is not None:
            self.check_addresses(target.host, target.port, [literal])
        if target.port not in self._ports:
            raise EgressRefused(
                "egress_port",
                f"Port {target.port} is not open for egress; an operator can add {_joined(target.host, target.port)} "
                "to egress.allow, or the port to egress.ports.",
            )
        return target

    def check_addresses(self, host: str, port: int, addresses: list[Address]) -> None:
        """Refuses where any of `addresses`, to which `host` leads, lies inside and no exception names host and port.

        Raises:
            EgressRefused: one of them lies inside.
        """
        inside = first_inside(addresses)
        if inside is None:
            return
        address, why = inside
        excepted = (host, port) in self._allow
        if excepted and (parse_address(host) is not None or not any(map(is_metadata, addresses))):
            return
        shown = host if host == str(address) else f"{host} leads to {address}, which"
        exception = f"{_joined(host, port)} to egress.allow"
        raise EgressRefused(
            "egress_address",
            f"{shown} lies inside ({why}); an operator can add {exception} where that is intended.",
        )


def spelled_host(text: str) -> str:
    """A host as `Target` spells it: IDNA, lower case, addresses in their canonical notation without brackets.

    Raises:
        ValueError: it is neither a name nor an address.
    """
    try:
        url = httpx2.URL(f"http://[{text}]/" if ":" in text and not text.startswith("[") else f"http://{text}/")
    except httpx2.InvalidURL as error:
        raise ValueError(str(error)) from None
    host = _normal_host(url.raw_host.decode("ascii"))
    if url.port is not None or (parse_address(host) is None and _HOST_NAME.fullmatch(host) is None):
        raise ValueError(f"{text!r} is no host")
    return host


def place_of(url: str) -> str:
    """`host:port` to which the guarded client takes a URL, as it reads it; nothing is said of whether it may.

    Raises:
        EgressRefused: `egress_url`.
    """
    return _parse(url).place


def _parse(text: str) -> Target:
    if len(text) > _LONGEST_URL:
        raise EgressRefused("egress_url", f"The URL is longer than {_LONGEST_URL} characters.")
    try:
        url = httpx2.URL(text)
        host = _normal_host(url.raw_host.decode("ascii"))
    except (httpx2.InvalidURL, ValueError, TypeError) as error:
        raise EgressRefused("egress_url", f"Not a URL that can be fetched: {error}.") from None
    if url.scheme not in _DEFAULT_PORTS:
        raise EgressRefused("egress_url", "Only http:// and https:// URLs can be fetched.")
    if url.userinfo:
        raise EgressRefused("egress_url", "The URL holds a user name; leave it out and send credentials as a header.")
    if parse_address(host) is None and _HOST_NAME.fullmatch(host) is None:
        raise EgressRefused("egress_url", "The URL has no host that can be looked up.")
    port = _DEFAULT_PORTS[url.scheme] if url.port is None else url.port
    if not 0 < port < 65536:
        raise EgressRefused("egress_url", f"{port} is not a port.")
    return Target(url.copy_with(host=host), host, port)


def _normal_host(host: str) -> str:
    plain = host.lower().removeprefix("[").removesuffix("]").removesuffix(".")
    literal = parse_address(plain)
    return plain if literal is None else str(literal)


def _normal_exception(item: str) -> tuple[str, int]:
    host, port = host_and_port(item)
    return _normal_host(host), port


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
