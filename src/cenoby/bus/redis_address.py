"""Which Redis, as whom, and how safely: a URL and the security settings become connections."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio.connection import Connection
from redis.exceptions import AuthenticationError, AuthenticationWrongNumberOfArgsError, NoPermissionError

from cenoby.bus.contract import BusInvalid, BusUnavailable
from cenoby.kernel.clock import Clock, iso_time
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings import BusSecuritySettings

RETRY_SECONDS = 1.0
_CONNECT_SECONDS = 5.0
_REFUSALS = (AuthenticationError, AuthenticationWrongNumberOfArgsError, NoPermissionError)
_SCRIPT_REFUSAL = "The user executing the script can't"
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class _TlsConnection(Connection):
    """A connection with a TLS context of ours: redis-py's own trusts the system's authorities beside the given one."""

    def __init__(self, *, tls: ssl.SSLContext, **options: Any) -> None:
        self._tls = tls
        cast("Any", super()).__init__(**options)

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {"host": self.host, "port": self.port, "ssl": self._tls}


@dataclass(frozen=True)
class RedisAddress:
    """A Redis and how to reach it.

    Attributes:
        shown: the address for messages; it holds neither user nor password.
        root: how every key and channel begins. It holds the database's number, for channels are shared by all of them.
        tls: how the connection is encrypted, if it is.
    """

    shown: str
    root: str
    host: str
    port: int
    db: int
    user: str = field(repr=False)
    password: str = field(repr=False)
    tls: ssl.SSLContext | None

    def connection(self) -> Any:
        """A new connection, not yet open. Nothing is sent twice by it: what is published is delivered at most once."""
        options: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "db": self.db,
            "username": self.user or None,
            "password": self.password or None,
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": _CONNECT_SECONDS,
            "driver_info": None,
        }
        return _TlsConnection(tls=self.tls, **options) if self.tls else Connection(**options)

    def refusal(self, error: BaseException) -> BusInvalid | None:
        """`bus_refused` where trying again would not help: wrong credentials, a missing right, a certificate."""
        if isinstance(error, _REFUSALS) or str(error).startswith(_SCRIPT_REFUSAL):
            return BusInvalid("bus_refused", f"{self.shown} refused us: {error}; see bus_security.")
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return BusInvalid("bus_refused", f"{self.shown}: no TLS between us ({_reason(cause)}); see bus_security.")
        return None

    def hung_up(self, error: BaseException) -> BusInvalid | None:
        """`bus_refused` where a server broke an encrypted connection off before it answered anything.

        With TLS 1.3 a server looks at our certificate when we take the connection for open; its complaint may be lost
        with the connection.
        """
        cause = error.__cause__ or error.__context__
        if self.tls and (isinstance(cause, ConnectionResetError | BrokenPipeError) or "closed by server" in str(error)):
            text = f"{self.shown} broke the connection off at once; it may want a certificate that it knows."
            return BusInvalid("bus_refused", f"{text} See bus_security.")
        return None

    def failure(self, error: BaseException, clock: Clock, since_ns: int = 0) -> CenobyError:
        """What `error` of a connection means to a caller."""
        since = f" since {iso_time(since_ns or clock.now_ns())}"
        return self.refusal(error) or BusUnavailable(
            "bus_disconnected",
            f"{self.shown} cannot be reached{since} ({str(error) or type(error).__name__}); try again.",
            retry_after=RETRY_SECONDS,
        )


def redis_address(url: str, security: BusSecuritySettings) -> RedisAddress:
    """The Redis that `url` names: `redis://[user:password@]host[:port][/db][?prefix=cenoby]`, `rediss://` with TLS.

    User and password of the settings come before the URL's. `prefix` begins the name of every key and channel, so that
    several colonies can share a server.

    Raises:
        BusInvalid: bus_url_invalid; bus_insecure, where the host is not this machine's loopback and either
            authentication or TLS is missing; bus_refused, where a certificate or key cannot be read.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 6379
        options = parse_qs(parts.query, keep_blank_values=True)
        db = int(parts.path.strip("/") or 0)
    except ValueError:
        # The parser's own message may quote the URL with its password.
        raise BusInvalid("bus_url_invalid", "The bus URL does not parse; use redis://host:6379/0.") from None
    prefix = options.pop("prefix", ["cenoby"])
    if not host or options or len(prefix) != 1 or not _PREFIX.fullmatch(prefix[0]) or db < 0:
        raise BusInvalid("bus_url_invalid", f"Use {parts.scheme}://host:6379/0, with ?prefix=name where you want one.")
    user, password = security.user, security.password.get_secret_value()
    if not user and not password:
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
    shown = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}/{db}"
    tls = _tls(shown, security) if parts.scheme == "rediss" else None
    known = bool(password) or (tls is not None and security.certificate is not None)
    if not (known and tls) and not security.insecure and not _loopback(host):
        missing = " and ".join([*([] if known else ["authentication"]), *([] if tls else ["TLS (rediss://)"])])
        raise BusInvalid("bus_insecure", f"{shown} is reached over a network without {missing}; see bus_security.")
    return RedisAddress(shown, f"{prefix[0]}:{db}", host, port, db, user, password, tls)


def _tls(shown: str, security: BusSecuritySettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=security.ca)
        if security.certificate:
            context.load_cert_chain(security.certificate, security.key)
    except OSError as error:
        text = f"{shown}: the certificates or the key of bus_security cannot be read ({_reason(error)})."
        raise BusInvalid("bus_refused", text) from error
    return context


def _reason(error: OSError) -> str:
    verified = getattr(error, "verify_message", "")
    return str(verified or getattr(error, "reason", "") or error.strerror or type(error).__name__)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
