"""Which NATS, as whom, and how safely: a URL and the security settings become what a connection needs."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cenoby.bus.contract import BusInvalid
from cenoby.kernel.settings import BusSecuritySettings

_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEED_KIND = 18 << 3
_USER_KIND = 20 << 3


@dataclass(frozen=True)
class NatsIdentity:
    """Who we are there; no secret is in its representation.

    Attributes:
        shown: how we authenticate, for messages; empty where we do not.
        seed_file: a file with an NKey seed, alone or behind a user JWT. It is read again for every connection, so that
            renewed credentials hold from the next one on.
        has_jwt: whether that file is a credentials file.
    """

    shown: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    seed_file: Path | None = None
    has_jwt: bool = False

    def options(self) -> dict[str, Any]:
        """As arguments of nats-py's `connect`."""
        options: dict[str, Any] = {}
        if self.user:
            options |= {"user": self.user, "password": self.password}
        if self.token:
            options["token"] = self.token
        if self.seed_file:
            options["signature_cb"] = self.sign
            if self.has_jwt:
                options["user_jwt_cb"] = self.jwt
        return options

    def sign(self, nonce: str) -> bytes:
        """The server's nonce signed with our NKey, base64."""
        return base64.b64encode(self._key().sign(nonce.encode()))

    def jwt(self) -> bytes:
        """The user JWT of the credentials file."""
        return _section(self._read(), "NATS USER JWT").encode()

    def public_nkey(self) -> str:
        """The public key (`U...`) that the server knows us by; empty where a JWT names it."""
        if not self.seed_file or self.has_jwt:
            return ""
        raw = bytes([_USER_KIND]) + self._key().public_key().public_bytes_raw()
        checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
        return base64.b32encode(checked).decode().rstrip("=")

    def _read(self) -> str:
        return self.seed_file.read_text() if self.seed_file else ""

    def _key(self) -> Ed25519PrivateKey:
        text = self._read()
        if self.has_jwt:
            seed = _section(text, "USER NKEY SEED")
        else:
            seed = next((line.strip() for line in text.splitlines() if line.startswith("SU")), "")
        return _private_key(seed)


@dataclass(frozen=True)
class NatsAddress:
    """A NATS and how to reach it.

    Attributes:
        servers: URLs without user and password.
        shown: the address for messages.
        prefix: how every subject and stream begins.
        tls: how the connection is encrypted; where it is set, a server without TLS is refused.
    """

    servers: tuple[str, ...]
    shown: str
    prefix: str
    identity: NatsIdentity
    tls: ssl.SSLContext | None


def nats_address(url: str, security: BusSecuritySettings) -> NatsAddress:
    """The NATS that `url` names: `nats://[user:password@|token@]host[:port][,host[:port]][?prefix=cenoby]`, or `tls://`.

    What the settings say of user and password comes before the URL's. `prefix` begins every subject and stream, so that
    several colonies can share a server.

    Raises:
        BusInvalid: bus_url_invalid; bus_insecure, where a host is not this machine's loopback and either authentication
            or TLS is missing; bus_refused, where a certificate, key or credentials file cannot be read.
    """
    try:
        parts = urlsplit(url)
        login, _, listed = parts.netloc.rpartition("@")
        hosts = [urlsplit(f"nats://{one}") for one in listed.split(",")]
        places = [(one.hostname or "", one.port or 4222) for one in hosts]
        options = parse_qs(parts.query, keep_blank_values=True)
    except ValueError:
        # The parser's own message may quote the URL with its password.
        raise BusInvalid("bus_url_invalid", "The bus URL does not parse; use nats://host:4222.") from None
    prefix = options.pop("prefix", ["cenoby"])
    if not all(host for host, _ in places) or options or parts.path.strip("/") or len(prefix) != 1:
        raise BusInvalid("bus_url_invalid", f"Use {parts.scheme}://host:4222, with ?prefix=name where you want one.")
    if not _PREFIX.fullmatch(prefix[0]):
        raise BusInvalid("bus_url_invalid", "The prefix of a NATS URL is 1 to 64 of A-Z, a-z, 0-9, _ and -.")
    servers = [f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}" for host, port in places]
    shown = ",".join(servers)
    tls = _tls(shown, security) if parts.scheme == "tls" or security.ca or security.certificate else None
    identity = _identity(shown, login, security)
    outside = [host for host, _ in places if not _loopback(host)]
    missing = [*([] if identity.shown else ["authentication"]), *([] if tls else ["TLS (tls://)"])]
    if outside and missing and not security.insecure:
        text = f"{shown} is reached over a network without {' and '.join(missing)}; see bus_security."
        raise BusInvalid("bus_insecure", text)
    return NatsAddress(tuple(servers), shown, prefix[0], identity, tls)


def _identity(shown: str, login: str, security: BusSecuritySettings) -> NatsIdentity:
    user, password = security.user, security.password.get_secret_value()
    if not user and not password and login:
        user, colon, password = (unquote(part) for part in login.partition(":"))
        if not colon:
            user, password = "", user
    if security.credentials or security.nkey:
        file = security.credentials or security.nkey
        kind = "the credentials file" if security.credentials else "the NKey file"
        identity = NatsIdentity(f"{kind} {file}", seed_file=file, has_jwt=security.credentials is not None)
        try:
            identity.sign("a first try")
            identity.jwt() if identity.has_jwt else identity.public_nkey()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise BusInvalid("bus_refused", f"{shown}: {kind} {file} does not serve ({reason}).") from None
        return identity
    if user:
        return NatsIdentity(f"user {user!r}", user=user, password=password)
    if password:
        return NatsIdentity("a token", token=password)
    return NatsIdentity(f"the certificate {security.certificate}" if security.certificate else "")


def _section(text: str, name: str) -> str:
    """The one line between the BEGIN and END marks of a credentials file."""
    found = re.search(rf"-----BEGIN {name}-----\s+(\S+)\s+-+END {name}-+", text)
    if not found:
        raise ValueError(f"it holds no section {name}")
    return found[1]


def _private_key(seed: str) -> Ed25519PrivateKey:
    """The key in an NKey seed `SU...`: two bytes of kind, 32 of seed, two of CRC-16, in base32."""
    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except binascii.Error:
        raw = b""
    if len(raw) != 36 or binascii.crc_hqx(raw[:-2], 0).to_bytes(2, "little") != raw[-2:]:
        raise ValueError("it holds no NKey seed of a user (SU...)")
    if raw[0] & 0xF8 != _SEED_KIND or ((raw[0] & 7) << 5 | raw[1] >> 3) != _USER_KIND:
        raise ValueError("its NKey seed is not a user's (SU...)")
    return Ed25519PrivateKey.from_private_bytes(raw[2:34])


def _tls(shown: str, security: BusSecuritySettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=security.ca)
        if security.certificate:
            context.load_cert_chain(security.certificate, security.key)
    except OSError as error:
        reason = error.strerror or getattr(error, "reason", "") or type(error).__name__
        text = f"{shown}: the certificates or the key of bus_security cannot be read ({reason})."
        raise BusInvalid("bus_refused", text) from error
    return context


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
