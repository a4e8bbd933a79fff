"""Host and Origin checks: a web page must not reach a colony on the visitor's machine (DNS rebinding).

MCP 2025-11-25, basic/transports, "Security Warning".
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARD = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - names to recognise, not to bind


class OriginRules:
    """Which Host and Origin headers are let in.

    Args:
        listen_host: the address that the gateway listens on; on a wildcard address any literal IP is fine as Host.
        hosts: further hosts, with or without port.
        origins: further origins, `scheme://host[:port]`.
    """

    def __init__(self, listen_host: str, hosts: Sequence[str] = (), origins: Sequence[str] = ()) -> None:
        self._names = _LOOPBACK | {listen_host.lower()}
        self._any_address = listen_host in _WILDCARD
        self._hosts = {host.lower() for host in hosts}
        self._origins = {origin.lower().rstrip("/") for origin in origins}
        self._known_hosts: set[str] = set()

    def allows_host(self, value: str | None) -> bool:
        """Whether the Host header names this colony. HTTP/1.1 requires one, so none is refused."""
        if value in self._known_hosts:
            return True
        if not value or not self._names_us(value.lower()):
            return False
        if len(self._known_hosts) < 64:
            self._known_hosts.add(value)
        return True

    def allows_origin(self, value: str | None) -> bool:
        """Whether the Origin header is absent (no browser), a page on this machine, or an allowed one."""
        if value is None or value.lower().rstrip("/") in self._origins:
            return True
        try:
            parts = urlsplit(value)
            return parts.scheme in ("http", "https") and parts.hostname in _LOOPBACK
        except ValueError:
            return False

    def _names_us(self, value: str) -> bool:
        name = _host_name(value)
        if name is None:
            return False
        return name in self._names or value in self._hosts or name in self._hosts or self._is_address(name)

    def _is_address(self, name: str) -> bool:
        if not self._any_address:
            return False
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


def _host_name(value: str) -> str | None:
    try:
        parts = urlsplit(f"//{value}")
        return parts.hostname if parts.port is None or parts.port else None
    except ValueError:
        return None
