"""Signing in with an identity provider: OpenID Connect, authorization code with PKCE (RFC 7636, RFC 9700).

Between the two steps the browser keeps a random name in a cookie of its own, and this process what belongs to it:
state, nonce and verifier. So a code is only ever taken from the browser that asked for it.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

from cenoby.access.oauth.resource import ForeignTokens
from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import from_json
from cenoby.kernel.errors import Refused
from cenoby.kernel.settings_identity import SignInSettings

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[bytes]]
"""Posts a form by the guarded client; raises a CenobyError where there is no good answer."""

COOKIE = "cenoby_sign_in"
SECONDS = 600
"""So long a person may take at the provider."""

_MOST = 512


class SignInRefused(Refused):
    """The provider did not sign anybody in, or not for this browser."""

    codes = {"sign_in_refused": "Signing in with the provider did not work; the message says why. Begin again."}


@dataclass(frozen=True, slots=True)
class _Pending:
    state: str
    nonce: str
    verifier: str
    begun_ns: int


class Provider:
    """The provider with which people sign in.

    Args:
        settings: who it is, and who we are to it.
        foreign: verifies what it says, and lets people in.
        post: the way to its token endpoint.
        secret: reads the secret that proves who we are; empty for a public client.
        clock: ends what was begun and not finished.
    """

    def __init__(
        self,
        settings: SignInSettings,
        foreign: ForeignTokens,
        post: Post,
        secret: Callable[[], Awaitable[str]],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._foreign = foreign
        self._post = post
        self._secret = secret
        self._clock = clock
        self._pending: dict[str, _Pending] = {}

    @property
    def name(self) -> str:
        """What people read on the button."""
        return self._settings.issuer

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach this page by TLS, so that cookies may demand it."""
        return urlsplit(self._settings.redirect_url).scheme == "https"

    async def begin(self) -> tuple[str, str]:
        """Where the browser is to be sent, and what its cookie is to hold.

        Raises:
            AccessUnauthenticated: `issuer_silent`.
            SignInRefused: the provider has no such endpoint.
        """
        endpoint = _endpoint(await self._foreign.metadata(self._settings.issuer), "authorization_endpoint")
        state, nonce, verifier, name = (secrets.token_urlsafe(32) for _ in range(4))
        now_ns = self._clock.monotonic_ns()
        self._pending = {key: one for key, one in self._pending.items() if now_ns - one.begun_ns < SECONDS * 10**9}
        if len(self._pending) >= _MOST:
            del self._pending[next(iter(self._pending))]
        self._pending[name] = _Pending(state, nonce, verifier, now_ns)
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._settings.redirect_url,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}", name

    async def finish(self, cookie: str, query: Mapping[str, str]) -> str:
        """Take the provider's answer that the browser brings, once; returns a credential for the person.

        Args:
            cookie: what `begin` gave the browser.
            query: of the redirect.

        Raises:
            SignInRefused: it is not an answer to what this browser began, or the provider says no.
            AccessUnauthenticated: what the provider says of the person does not hold, or the person is blocked.
            AccessRefused: `scope_insufficient`: the person has no role here.
        """
        pending = self._pending.pop(cookie, None)
        if pending is None or self._clock.monotonic_ns() - pending.begun_ns >= SECONDS * 10**9:
            raise _refused("it was not begun in this browser, or too long ago")
        if not compare_digest(query.get("state", "").encode(), pending.state.encode()):
            raise _refused("the answer is to something else")
        metadata = await self._foreign.metadata(self._settings.issuer)
        # RFC 9207: an answer of another provider must not be mixed up with this one's.
        if query.get("iss", metadata["issuer"]) != metadata["issuer"]:
            raise _refused("the answer is of another provider")
        if "error" in query or not query.get("code"):
            raise _refused("the provider said no")
        id_token = await self._redeem(_endpoint(metadata, "token_endpoint"), query["code"], pending.verifier)
        issuer, claims = await self._foreign.verify_id_token(
            self._settings.issuer, id_token, self._settings.client_id, pending.nonce
        )
        return self._foreign.sign_in(issuer, claims, self._settings.hours * 3600)

    async def _redeem(self, endpoint: str, code: str, verifier: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._settings.redirect_url,
            "code_verifier": verifier,
        }
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        if secret := await self._secret():
            # RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
            pair = f"{quote(self._settings.client_id, safe='')}:{quote(secret, safe='')}"
            headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = self._settings.client_id
        answer: object = from_json(await self._post(endpoint, headers, urlencode(form).encode()))
        id_token = cast(dict[str, Any], answer).get("id_token") if isinstance(answer, dict) else None
        if not isinstance(id_token, str):
            raise _refused("the provider gave no ID token")
        return id_token


def _endpoint(metadata: Mapping[str, Any], name: str) -> str:
    url = metadata.get(name)
    if not isinstance(url, str) or urlsplit(url).scheme not in ("https", urlsplit(str(metadata["issuer"])).scheme):
        raise _refused(f"the provider has no usable {name}")
    return url


def _refused(why: str) -> SignInRefused:
    return SignInRefused("sign_in_refused", f"Signing in did not work: {why}. Begin again.")
