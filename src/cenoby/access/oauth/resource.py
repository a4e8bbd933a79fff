"""Access tokens of other authorities (OAuth 2.1, RFC 9068): verified once, then known until they expire.

A token is verified when it is first seen. What it says is kept in memory alone, by its text, so that the calls after
that cost what calls with a token of our own cost; nothing of it is written down, and no agent is registered.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError

from cenoby.access.blocked import Blocks
from cenoby.access.errors import AccessUnauthenticated
from cenoby.access.oauth.claims import has_scope, principal_of
from cenoby.access.oauth.keys import Fetch, IssuerKeys
from cenoby.access.principals import Principal
from cenoby.access.roles import AccessRefused, RoleTable
from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import CodecError, from_json
from cenoby.kernel.settings_identity import IssuerSettings, OAuthSettings

PREFIX = "oauth:"
"""How the token ids of such principals begin: `oauth:<expiry, Unix seconds>:<jti, or a part of the token's hash>`."""

Fits = Callable[[Mapping[str, Any], IssuerSettings], bool]
"""Whether a token with that header, of that issuer, is of the kind that is wanted."""

_KEPT = 8192
_PLAIN_ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")


@dataclass(frozen=True, slots=True)
class Admitted:
    """A token that was verified: who it is about, until when, and to which key it is bound."""

    principal: Principal
    expires_ns: int
    bound_to: str = ""


class _Registry(jws.JWSRegistry):
    # Issuers write headers of their own; those that must be understood are in `crit`, which is refused.
    def __init__(self, algorithms: list[str]) -> None:
        super().__init__(algorithms=algorithms, strict_check_header=False)

    max_header_length = 2048


class ForeignTokens:
    """All that other authorities vouch for.

    Args:
        settings: who they are.
        fetch: reads a URL.
        clock: the time.
        blocks: who is kept out all the same.
        roles: the roles in force.

    Raises:
        AccessRefused: `role_unknown`: the settings translate a claim into a role that does not exist.
    """

    def __init__(
        self, settings: OAuthSettings, fetch: Fetch, clock: Clock, blocks: Blocks, roles: RoleTable | None = None
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._blocks = blocks
        self._issuers = {
            one.issuer: (name, one, IssuerKeys(name, one, settings, fetch, clock))
            for name, one in settings.issuers.items()
        }
        self._admitted: dict[str, Admitted] = {}
        if roles is not None:
            for issuer in settings.issuers.values():
                for names in issuer.roles.values():
                    roles.require(names)

    def get(self, token: str) -> Admitted | None:
        """What a token says that was verified before; None for any other.

        Raises:
            AccessUnauthenticated: `token_expired`, or `token_revoked` where its agent is blocked.
        """
        found = self._admitted.get(token)
        if found is None:
            return None
        if (problem := self.problem(found.principal)) is not None:
            raise problem
        return found

    def problem(self, principal: Principal) -> AccessUnauthenticated | None:
        """Why a principal that was let in by such a token is no longer good."""
        expires, token = parts_of(principal.token_id)
        if self._blocks.blocks(principal.tenant, principal.agent, token):
            return AccessUnauthenticated("token_revoked", "An operator blocked this subject, or this token of it.")
        if self._clock.now_ns() >= expires * 1_000_000_000:
            return AccessUnauthenticated("token_expired", "The token's time is over; get a new one from its issuer.")
        return None

    async def admit(self, token: str) -> None:
        """Verify an access token, so that `get` knows it.

        Raises:
            AccessUnauthenticated: `token_unknown`, `token_expired`, `token_revoked` or `issuer_silent`.
            AccessRefused: `scope_insufficient`: it is good, and gives no right here.
        """
        name, issuer, claims = await self._verified(token, _looks_like_an_access_token)
        if not has_scope(claims, issuer.scope):
            raise AccessRefused("scope_insufficient", f"The token lacks the scope {issuer.scope!r}.")
        bound_to = _binding(claims)
        principal = principal_of(name, issuer, claims, self._token_id(token, claims))
        if (problem := self.problem(principal)) is not None:
            raise problem
        self._keep(token, Admitted(principal, int(claims["exp"]) * 1_000_000_000, bound_to))

    async def verify_id_token(self, issuer: str, token: str, client: str, nonce: str) -> tuple[str, Mapping[str, Any]]:
        """Verify what a provider says of a person who signed in (OpenID Connect Core 1.0, section 3.1.3.7).

        Args:
            issuer: name of the provider, in the settings.
            token: the ID token.
            client: the audience that it must have, and no other.
            nonce: which it must carry.

        Returns:
            The issuer's name, and the claims.

        Raises:
            AccessUnauthenticated: it is not good.
        """
        wanted = self._settings.issuers[issuer]

        def fits(header: Mapping[str, Any], signer: IssuerSettings) -> bool:
            del header
            return signer.issuer == wanted.issuer

        name, _, claims = await self._verified(token, fits, [client])
        others = claims["aud"] not in (client, [client])
        if claims.get("nonce") != nonce or (others and claims.get("azp") != client):
            raise _unknown("it was made for another sign-in")
        return name, claims

    def sign_in(self, issuer: str, claims: Mapping[str, Any], seconds: float) -> str:
        """Let a person in whose claims were verified; returns a credential that only this process knows.

        Raises:
            AccessRefused: `scope_insufficient`: no role here follows from the claims.
            AccessUnauthenticated: `token_revoked`: the person is blocked.
        """
        now_ns = self._clock.now_ns()
        credential, expires = f"sign-in_{secrets.token_urlsafe(32)}", (now_ns + round(seconds * 1e9)) // 1_000_000_000
        token_id = f"{PREFIX}{expires}:{secrets.token_hex(16)}"
        principal = principal_of(issuer, self._settings.issuers[issuer], claims, token_id, "person")
        if (problem := self.problem(principal)) is not None:
            raise problem
        self._keep(credential, Admitted(principal, expires * 1_000_000_000))
        return credential

    def sign_out(self, credential: str) -> None:
        """Forget a credential of `sign_in`."""
        if credential.startswith("sign-in_"):
            self._admitted.pop(credential, None)

    async def metadata(self, issuer: str) -> Mapping[str, Any]:
        """What an issuer of the settings says of itself; raises as `IssuerKeys.metadata` does."""
        return await self._issuers[self._settings.issuers[issuer].issuer][2].metadata()

    async def _verified(
        self, token: str, fits: Fits, audience: list[str] | None = None
    ) -> tuple[str, IssuerSettings, dict[str, Any]]:
        if len(token) > self._settings.max_token_bytes:
            raise _unknown(f"it has more than {self._settings.max_token_bytes} bytes")
        try:
            header, named = _peek(token)
        except (JoseError, CodecError, ValueError, TypeError):
            raise _unknown("it is none") from None
        if named not in self._issuers:
            raise _unknown("its issuer is none of this colony's")
        name, issuer, keys = self._issuers[named]
        if "crit" in header or header.get("alg") not in issuer.algorithms or not fits(header, issuer):
            raise _unknown("its signature or its type is not taken")
        key = await keys.find(header.get("kid"), header["alg"])
        claims = self._checked(token, key, issuer, audience or issuer.audience or [self._settings.resource or ""])
        return name, issuer, claims

    def _checked(self, token: str, key: Any, issuer: IssuerSettings, audience: list[str]) -> dict[str, Any]:
        algorithms = [str(one) for one in issuer.algorithms]
        rules = jwt.JWTClaimsRegistry(
            now=self._clock.now_ns() // 1_000_000_000,
            leeway=round(self._settings.clock_skew),
            iss={"essential": True, "value": issuer.issuer},
            aud={"essential": True, "values": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            found = jwt.decode(token, key, algorithms=algorithms, registry=_Registry(algorithms))
            rules.validate(found.claims)
        except ExpiredTokenError:
            raise AccessUnauthenticated(
                "token_expired", "The token's time is over; get a new one from its issuer."
            ) from None
        except (JoseError, ValueError, TypeError, OverflowError) as error:
            raise _unknown(f"it does not hold ({type(error).__name__})") from None
        if not 0 < found.claims["exp"] < 1e11:
            raise _unknown("it does not say when it ends")
        return found.claims

    def _token_id(self, token: str, claims: Mapping[str, Any]) -> str:
        jti = claims.get("jti")
        name = jti if isinstance(jti, str) and _PLAIN_ID.fullmatch(jti) else hashlib.sha256(token.encode()).hexdigest()
        return f"{PREFIX}{int(claims['exp'])}:{name[:64]}"

    def _keep(self, token: str, admitted: Admitted) -> None:
        if len(self._admitted) >= _KEPT:
            now_ns = self._clock.now_ns()
            self._admitted = {text: one for text, one in self._admitted.items() if one.expires_ns > now_ns}
        while len(self._admitted) >= _KEPT:
            del self._admitted[next(iter(self._admitted))]
        self._admitted[token] = admitted


def parts_of(token_id: str) -> tuple[int, str]:
    """Expiry (Unix seconds) and name of a token, from the id that begins with `PREFIX`; (0, "") for any other."""
    kind, _, rest = token_id.partition(":")
    expires, _, token = rest.partition(":")
    return (int(expires), token) if f"{kind}:" == PREFIX and expires.isascii() and expires.isdigit() else (0, "")


def _peek(token: str) -> tuple[dict[str, Any], str]:
    """Header and issuer, not verified: only to know whose keys are to be asked."""
    found = jws.extract_compact(token.encode("ascii"), registry=_Registry([]))
    claims: object = from_json(found.payload)
    named: object = cast(dict[str, Any], claims).get("iss") if isinstance(claims, dict) else None
    if not isinstance(named, str):
        raise ValueError("no issuer")
    return dict(found.protected), named


def _looks_like_an_access_token(header: Mapping[str, Any], issuer: IssuerSettings) -> bool:
    # RFC 9068, section 4: an ID token, or whatever else the issuer signs, is no access token.
    kind = header.get("typ")
    return kind is None or (isinstance(kind, str) and kind.lower() in {one.lower() for one in issuer.token_types})


def _binding(claims: Mapping[str, Any]) -> str:
    confirmation: object = claims.get("cnf")
    if confirmation is None:
        return ""
    key = cast(dict[str, Any], confirmation).get("jkt") if isinstance(confirmation, dict) else None
    if not isinstance(key, str) or not key or len(cast(dict[str, Any], confirmation)) != 1:
        raise _unknown("it is bound to something that this colony cannot check")
    return key


def _unknown(why: str) -> AccessUnauthenticated:
    return AccessUnauthenticated("token_unknown", f"The access token is not believed: {why}.")
