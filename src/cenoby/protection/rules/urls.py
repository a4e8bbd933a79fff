"""URLs that lead inside: the machine, its network, a cloud's metadata service, however the address is spelled."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from cenoby.kernel.settings_egress import EgressSettings
from cenoby.kernel.settings_section import host_and_port
from cenoby.protection.addresses import looks_numeric, parse_address, why_inside
from cenoby.protection.rules.arguments import word_set
from cenoby.protection.rules.findings import Level, Raw
from cenoby.protection.rules.paths import is_secret_place
from cenoby.protection.rules.spellings import plain, unpercented

_INSIDE_NAMES = word_set(
    "localhost localhost.localdomain ip6-localhost ip6-loopback metadata instance-data kubernetes.default"
)
_INSIDE_ENDINGS = (
    ".localhost", ".local", ".internal", ".localdomain", ".home.arpa", ".svc", ".cluster.local",
    # Names that anybody may spell an address in.
    ".nip.io", ".sslip.io", ".xip.io", ".localtest.me", ".lvh.me",
)  # fmt: skip
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}
_READS_FILES = word_set("file jar netdoc phar php expect zip glob gopher dict ldap ldaps tftp smb")
_BEGINNINGS = ("http:", "https:", "ws:", "wss:", "ftp:", "//")
_STRIPPED = str.maketrans("", "", "\t\r\n")


class UrlRule:
    """What URLs may say, with the same exceptions as the way out itself.

    Args:
        settings: `egress.allow` names exceptions as host:port.
    """

    def __init__(self, settings: EgressSettings) -> None:
        self._allow = {(_normal(host), port) for host, port in map(host_and_port, settings.allow)}

    def leads_inside(self, text: str) -> Iterator[Raw]:
        """Rules that a URL breaks.

        Args:
            text: as it came.
        """
        url = plain(text).strip().translate(_STRIPPED)
        scheme = url.partition(":")[0].lower() if ":" in url[:16] else ""
        if scheme in _READS_FILES or scheme.startswith(("php", "jar")):
            yield "egress.scheme", Level.DENY
            if is_secret_place(url):
                yield "leaks.secret_place", Level.DENY
            return
        # Clients differ over backslashes and a missing slash, so the host is looked for as the most lenient one does.
        place = url.replace("\\", "/")
        head, colon, rest = place.partition(":")
        if colon and head.lower() in _PORTS:
            place = f"{head}://{rest.lstrip('/')}"
        elif not place.startswith("//") and "://" not in place[:24]:
            place = f"//{place}"
        if any(self._is_inside(one) for one in dict.fromkeys((place, unpercented(place)))):
            yield "egress.inside", Level.DENY

    def _is_inside(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            hosts = {parts.hostname or ""}
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            parts, hosts, port = None, {_by_hand(url)}, 0
        # Some read up to the first @, some to the last.
        if parts is not None and "@" in parts.netloc:
            hosts |= _around_at(parts)
        return any(_leads_inside(host) and (_normal(host), port) not in self._allow for host in hosts if host)


def looks_like_url(text: str) -> bool:
    """Whether a text of unknown kind, as a whole, is a URL."""
    head = text[:24].lstrip().lower()
    if head.partition(":")[0] in _READS_FILES and ":/" in head:
        return True
    return head.startswith(_BEGINNINGS[:-1]) and not any(map(str.isspace, text.strip()))


def _leads_inside(host: str) -> bool:
    name = _normal(unpercented(host))
    address = parse_address(name)
    if address is not None:
        return why_inside(address) is not None
    if ":" in name or looks_numeric(name):
        return True
    return name in _INSIDE_NAMES or name.endswith(_INSIDE_ENDINGS)


def _normal(host: str) -> str:
    plain_host = host.lower().removeprefix("[").removesuffix("]").rstrip(".")
    address = parse_address(plain_host)
    return plain_host if address is None else str(address)


def _around_at(parts: SplitResult) -> set[str]:
    pieces = [piece for piece in parts.netloc.split("@") if piece]
    # user:password is no host and port where the port is no number.
    return {_host_of(piece) for piece in pieces[1:]}


def _host_of(piece: str) -> str:
    if piece.startswith("["):
        return piece.partition("]")[0] + "]"
    return piece.partition(":")[0]


def _by_hand(url: str) -> str:
    rest = url.partition("//")[2]
    for sign in "/?#":
        rest = rest.partition(sign)[0]
    return _host_of(rest.rpartition("@")[2])
