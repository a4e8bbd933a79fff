"""The settings of identities: agents that the operator declares, the life of tokens, and who else may vouch."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from cenoby.kernel.settings_section import Count, Seconds, Section

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
IssuerName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,15}$")]
Level = Literal["", "locked", "supervised", "semi", "full"]
Rank = Literal["", "junior", "mid", "senior", "lead"]

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
"""A signature by a key pair. Those with a shared secret, and none, cannot be asked for."""


def _secure_url(value: str) -> str:
    parts = urlsplit(value)
    loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or parts.fragment or parts.scheme not in (("http", "https") if loopback else ("https",)):
        raise ValueError("must be an https:// URL without fragment (http:// only on this machine)")
    return value


SecureUrl = Annotated[str, AfterValidator(_secure_url)]


class AgentSettings(Section):
    """An agent that the settings declare: registered at start, and changed to what is said here."""

    roles: Annotated[list[Name], Field(min_length=1)]
    """Names of its roles."""
    tenant: Name = "default"
    """Whose agent it is; never changes."""
    kind: Literal["agent", "person"] = "agent"
    """What it is; never changes."""
    department: Name | Literal[""] = ""
    """Where it works."""
    seniority: Rank = ""
    """How far it has come: junior, mid, senior or lead."""
    autonomy: Level = ""
    """Its own autonomy level; that of its department where empty."""
    parent: Name | None = None
    """The agent for which it works; that one must be there, or be declared before it. Never changes."""
    reason: Annotated[str, Field(max_length=500)] = ""
    """Why it is there."""
    beyond_parent: bool = False
    """Whether it may have rights that its parent lacks."""


class TokenSettings(Section):
    """How long tokens live. The operator's file `admin.token` lives on, and is renewed when it is revoked."""

    hours: Annotated[float, Field(gt=0)] | None = 24
    """Hours that a token lives where whoever makes it says nothing; null for ever."""
    rotation_grace: Annotated[float, Field(ge=0, le=3600)] = 60
    """Seconds that a rotated token works beside the new one, where whoever rotates it says nothing."""
    proof_nonces: bool = False
    """Whether proofs of possession must carry a nonce of ours: one more round trip, and no proof made in advance."""


class IssuerSettings(Section):
    """An authorization server whose access tokens (RFC 9068) are believed, and what their claims mean here."""

    issuer: SecureUrl
    """Its issuer identifier, exactly as in `iss`."""
    jwks_url: SecureUrl | None = None
    """Where its keys are; found by its metadata (RFC 8414, or OpenID Connect Discovery) where none is given."""
    audience: list[str] = []
    """What `aud` must name one of; `oauth.resource` where empty."""
    algorithms: Annotated[list[Algorithm], Field(min_length=1)] = ["RS256", "PS256", "ES256"]
    """Signatures that are taken."""
    token_types: list[str] = ["at+jwt", "application/at+jwt"]
    """What the header `typ` may say where it is there; add `JWT` for issuers older than RFC 9068."""
    scope: str = ""
    """A scope that the token must have; a token without it is answered 403 `insufficient_scope`."""
    kind: Literal["agent", "person"] = "agent"
    """What those are whom it vouches for."""
    tenant: Name = "default"
    """The tenant of all of them, where there is no `tenant_claim`."""
    tenant_claim: str = ""
    """The claim that says the tenant; a value that `tenants` does not name is refused."""
    tenants: dict[str, Name] = {}
    """Tenants by the values of that claim."""
    roles_claim: str = "roles"
    """The claim with roles or groups: text with blanks, or a list. A dot leads into objects: `realm_access.roles`."""
    roles: dict[str, list[Name]] = {}
    """Roles here by the values of that claim. Who has none of these values has no rights here."""
    department_claim: str = ""
    """The claim that says the department."""
    departments: dict[str, Name] = {}
    """Departments by the values of that claim; other values mean none."""


class SignInSettings(Section):
    """How people sign in to the status page: OpenID Connect, authorization code with PKCE."""

    issuer: IssuerName
    """Which of `oauth.issuers`; its claims' meaning holds for people, too."""
    client_id: str
    """The name under which it knows the status page."""
    client_secret: str | None = None
    """Name of the secret (kept by Turing, best with colony_only) that proves that; a public client has none."""
    redirect_url: SecureUrl
    """The status page's `/sign-in/callback`, as the provider has it registered."""
    scopes: list[str] = ["openid", "profile"]
    """Scopes that are asked for; `openid` is one of them."""
    hours: Annotated[float, Field(gt=0, le=24)] = 8
    """Hours after which a person signs in anew, whatever happens."""


class OAuthSettings(Section):
    """The gateway as an OAuth 2.1 resource server; without issuers, tokens of our own are all there is."""

    resource: SecureUrl | None = None
    """The URL of the MCP endpoint as clients know it (RFC 8707); needed as soon as there is an issuer."""
    issuers: Annotated[dict[IssuerName, IssuerSettings], Field(max_length=16)] = {}
    """Who vouches, by a short name; agents are called `<name>#<subject>` here."""
    clock_skew: Annotated[float, Field(ge=0, le=120)] = 30
    """Seconds by which an issuer's clock may differ from ours."""
    max_token_bytes: Count = 8192
    """Largest token that is looked at."""
    keys_fresh: Seconds = 600
    """Seconds after which an issuer's keys are read again."""
    keys_kept: Seconds = 86_400
    """Seconds for which keys hold while their issuer cannot be reached; after that nobody is believed."""
    sign_in: SignInSettings | None = None
    """How people sign in to the status page; by a token where this is missing."""
