"""The public keys of an issuer: found by its metadata, read again now and then, and kept while it is silent.

A key that nobody has seen is asked for once, and then not again for half a minute, so that tokens with invented key ids
cost the issuer nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from joserfc import jwk
from joserfc.errors import JoseError

from cenoby.access.errors import AccessUnauthenticated
from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import CodecError, from_json
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings_identity import IssuerSettings, OAuthSettings
from cenoby.telemetry.logs import get_logger

Fetch = Callable[[str], Awaitable[bytes]]
"""Reads a URL by the guarded client; raises a CenobyError where there is no good answer."""

BETWEEN_LOOKS = 30.0
"""Seconds between two requests to an issuer that a token can cause."""

_MOST_KEYS = 64
_LONGEST_ID = 256
_KINDS = {"R": "RSA", "P": "RSA", "ES": "EC", "E": "OKP"}
_log = get_logger("access.oauth")


class IssuerKeys:
    """The keys of one issuer.

    Args:
        name: of the issuer, in the settings.
        issuer: who it is, and where its keys are if that is said.
        settings: how long keys are good.
        fetch: reads a URL.
        clock: the time.
    """

    def __init__(self, name: str, issuer: IssuerSettings, settings: OAuthSettings, fetch: Fetch, clock: Clock) -> None:
        self._name = name
        self._issuer = issuer
        self._settings = settings
        self._fetch = fetch
        self._clock = clock
        self._metadata: Mapping[str, Any] | None = None
        self._keys: list[tuple[str, jwk.Key]] = []
        self._read_ns: int | None = None
        self._tried_ns: int | None = None
        self._reading = asyncio.Lock()

    async def find(self, key_id: object, algorithm: str) -> jwk.Key:
        """The key of a token's header.

        Args:
            key_id: its `kid`; only compared, never followed. Without one, there must be just one key that fits.
            algorithm: its `alg`, which was found to be allowed.

        Raises:
            AccessUnauthenticated: `token_unknown`: there is no such key; `issuer_silent`: the keys cannot be read.
        """
        if key_id is not None and (not isinstance(key_id, str) or len(key_id) > _LONGEST_ID):
            raise _unknown(self._name)
        if self._age() > self._settings.keys_fresh:
            await self._read_again()
        found = self._known(key_id, algorithm)
        if found is None:
            await self._read_again()
            found = self._known(key_id, algorithm)
        if self._age() > self._settings.keys_kept:
            raise AccessUnauthenticated(
                "issuer_silent",
                f"The keys of the issuer {self._name!r} cannot be read, so nobody is believed whom it vouches for.",
                retry_after=BETWEEN_LOOKS,
            )
        if found is None:
            raise _unknown(self._name)
        return found

    async def metadata(self) -> Mapping[str, Any]:
        """What the issuer says of itself (RFC 8414, or OpenID Connect Discovery 1.0); read once.

        Raises:
            AccessUnauthenticated: `issuer_silent`.
        """
        if self._metadata is None:
            try:
                self._metadata = await self._discover()
            except CenobyError as error:
                raise AccessUnauthenticated(
                    "issuer_silent", f"The issuer {self._name!r} does not say what it is: {error.message}"
                ) from error
        return self._metadata

    def _age(self) -> float:
        return float("inf") if self._read_ns is None else (self._clock.monotonic_ns() - self._read_ns) / 1e9

    def _known(self, key_id: str | None, algorithm: str) -> jwk.Key | None:
        kind = next(kind for prefix, kind in _KINDS.items() if algorithm.startswith(prefix))
        fitting = [key for name, key in self._keys if key.key_type == kind and key_id in (None, name)]
        if algorithm.startswith("ES"):
            fitting = [key for key in fitting if _CURVES[algorithm] == key.as_dict(private=False).get("crv")]
        return fitting[0] if len(fitting) == 1 else None

    async def _read_again(self) -> None:
        async with self._reading:
            now_ns = self._clock.monotonic_ns()
            if self._tried_ns is not None and now_ns - self._tried_ns < BETWEEN_LOOKS * 1e9:
                return
            self._tried_ns = now_ns
            try:
                url = self._issuer.jwks_url or _url_in(await self._discover(), "jwks_uri", self._issuer.issuer)
                self._keys = _keys_in(from_json(await self._fetch(url)))
            except CenobyError as error:
                # What is known holds on: an issuer that is down takes nobody down with it, for a while.
                _log.warning("issuer_keys_unread", issuer=self._name, reason=error.message)
            else:
                self._read_ns = self._clock.monotonic_ns()

    async def _discover(self) -> Mapping[str, Any]:
        problem: CenobyError = _unknown(self._name)
        for url in _metadata_urls(self._issuer.issuer):
            try:
                found: object = from_json(await self._fetch(url))
            except CenobyError as error:
                problem = error
                continue
            # RFC 8414, section 3.3: who says to be another one is not to be used.
            if isinstance(found, dict) and cast(dict[str, Any], found).get("issuer") == self._issuer.issuer:
                return cast(dict[str, Any], found)
            problem = CodecError("message_invalid", f"what {url} says is not about {self._issuer.issuer}")
        raise problem


_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


def _metadata_urls(issuer: str) -> list[str]:
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    return [
        f"{issuer.rstrip('/')}/.well-known/openid-configuration",
        parts._replace(path=f"/.well-known/oauth-authorization-server{path}").geturl(),
    ]


def _url_in(metadata: Mapping[str, Any], name: str, issuer: str) -> str:
    url = metadata.get(name)
    if not isinstance(url, str) or urlsplit(url).scheme not in ("https", urlsplit(issuer).scheme):
        raise CodecError("message_invalid", f"the metadata of {issuer} have no usable {name}")
    return url


def _keys_in(document: object) -> list[tuple[str, jwk.Key]]:
    listed: object = cast(dict[str, Any], document).get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise CodecError("message_invalid", "what should be a set of keys (RFC 7517) is none")
    found: list[tuple[str, jwk.Key]] = []
    for one in cast(list[Any], listed)[:_MOST_KEYS]:
        if not isinstance(one, dict):
            continue
        fields = cast(dict[str, Any], one)
        # A shared secret in a public document is nobody's signature; a key for encryption signs nothing.
        if fields.get("kty") not in ("RSA", "EC", "OKP") or fields.get("use") not in (None, "sig"):
            continue
        try:
            key = jwk.import_key({name: fields[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in fields})
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        found.append((str(fields.get("kid", "")), key))
    return found


def _unknown(name: str) -> AccessUnauthenticated:
    return AccessUnauthenticated("token_unknown", f"The issuer {name!r} has no key that could have signed the token.")
