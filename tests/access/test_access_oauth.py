"""Access tokens of other authorities: what is believed, what is not, and what that costs their issuer."""

from __future__ import annotations

import hashlib
import hmac
import json
import warnings
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwk, jwt
from joserfc.jws import JWSRegistry

from cenoby.access.errors import AccessUnauthenticated
from cenoby.access.oauth.claims import agent_name
from cenoby.access.oauth.keys import BETWEEN_LOOKS
from cenoby.access.oauth.resource import ForeignTokens
from cenoby.access.principals import Principal, Proven
from cenoby.access.registration import _NAME
from cenoby.access.roles import AccessRefused, RoleTable
from cenoby.access.tokens import Identities
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.codec import CodecError, to_json
from cenoby.kernel.settings_identity import OAuthSettings
from cenoby.store.database import Database
from tests.stores import cache_of, everything_in

RESOURCE, CORP, LAB = "https://colony.example/mcp", "https://corp.example", "https://lab.example/realm"
CORP_KEY, LAB_KEY, EVIL = (jwk.RSAKey.generate_key(2048, {"kid": kid}) for kid in ("c1", "l1", "c1"))
SETTINGS = {
    "resource": RESOURCE,
    "issuers": {
        "corp": {
            "issuer": CORP,
            "jwks_url": f"{CORP}/keys",
            "roles": {"eng": ["developer"], "watch": ["observer"]},
            "department_claim": "team",
            "departments": {"red": "lab"},
        },
        "lab": {
            "issuer": LAB,
            "roles_claim": "realm_access.roles",
            "roles": {"admin": ["operator"]},
            "tenant_claim": "org",
            "tenants": {"org-a": "a", "org-b": "b"},
            "scope": "cenoby",
            "kind": "person",
        },
    },
}


class Web:
    """What the issuers answer; counts who asks."""

    def __init__(self) -> None:
        self.down = False
        self.asked: list[str] = []
        self.keys: dict[str, list[Any]] = {CORP: [CORP_KEY], LAB: [LAB_KEY]}

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if self.down:
            raise CodecError("message_invalid", "down")
        if url == f"{LAB}/.well-known/openid-configuration":
            raise CodecError("message_invalid", "404")
        if url == "https://lab.example/.well-known/oauth-authorization-server/realm":
            return to_json({"issuer": LAB, "jwks_uri": f"{LAB}/jwks"})
        issuer = {f"{CORP}/keys": CORP, f"{LAB}/jwks": LAB}[url]
        return to_json({"keys": [key.as_dict(private=False) for key in self.keys[issuer]]})


class World:
    def __init__(self, identities: Identities, foreign: ForeignTokens, web: Web, clock: ManualClock) -> None:
        self.identities, self.foreign, self.web, self.clock = identities, foreign, web, clock

    def token(self, key: Any = CORP_KEY, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that holds, but for what is given; None leaves a claim out."""
        now = self.clock.now_ns() // 10**9
        whole = {
            "iss": CORP,
            "aud": RESOURCE,
            "sub": "ann",
            "exp": now + 600,
            "iat": now,
            "jti": "j1",
            "roles": ["eng"],
        }
        head = {"alg": "RS256", "kid": key.kid, "typ": "at+jwt"} | (header or {})
        registry = JWSRegistry(algorithms=[head["alg"]], strict_check_header=False)
        return jwt.encode(
            {name: one for name, one in head.items() if one is not None},
            {name: one for name, one in (whole | claims).items() if one is not None},
            key,
            registry=registry,
            default_type=None,
        )

    async def enter(self, token: str) -> Principal:
        await self.foreign.admit(token)
        return self.identities.authenticate(token)

    async def code(self, token: str) -> str:
        with pytest.raises((AccessUnauthenticated, AccessRefused)) as refused:
            await self.enter(token)
        # And nothing of it stays, by which it would be let in later.
        with pytest.raises(AccessUnauthenticated):
            self.identities.authenticate(token)
        return refused.value.code


@pytest.fixture
async def world(database: Database, clock: ManualClock) -> AsyncIterator[World]:
    cache, web = cache_of(database), Web()
    clock.advance(1_000_000_000)
    identities = Identities(cache, clock, RoleTable())
    settings = OAuthSettings.model_validate(SETTINGS)
    identities.foreign = ForeignTokens(settings, web.fetch, clock, identities.blocks, RoleTable())
    await cache.warm()
    yield World(identities, identities.foreign, web, clock)


async def test_a_good_token_is_a_principal(world: World, database: Database) -> None:
    """By the settings' translation; its signature is checked once, nothing is written, and it ends with its time."""
    before = await database.read(everything_in)
    token = world.token(roles=["eng", "nobody-knows"], team="red")
    principal = await world.enter(token)
    expires = world.clock.now_ns() // 10**9 + 600
    expected = Principal("corp#ann", "default", ("developer",), "agent", f"oauth:{expires}:j1", "lab")
    assert principal == expected
    assert world.identities.authenticate(token) is world.identities.authenticate(token)
    assert await database.read(everything_in) == before
    assert world.identities.list_agents() == []
    world.clock.advance(600)
    with pytest.raises(AccessUnauthenticated) as over:
        world.identities.authenticate(token)
    assert over.value.code == "token_expired"


async def test_tokens_that_are_not_for_us(world: World) -> None:
    """Another audience, issuer or time, no subject, an ID token: refused, and known as what they are."""
    now = world.clock.now_ns() // 10**9
    for claims, code in (
        ({"aud": "https://other.example/mcp"}, "token_unknown"),
        ({"aud": None}, "token_unknown"),
        ({"aud": ["https://other.example", "https://third.example"]}, "token_unknown"),
        ({"iss": "https://evil.example"}, "token_unknown"),
        ({"iss": None}, "token_unknown"),
        ({"iss": LAB}, "token_unknown"),
        ({"exp": now - 31}, "token_expired"),
        ({"exp": None}, "token_unknown"),
        ({"exp": float("nan")}, "token_unknown"),
        ({"exp": 10**300}, "token_unknown"),
        ({"exp": "never"}, "token_unknown"),
        ({"nbf": now + 31}, "token_unknown"),
        ({"iat": now + 31}, "token_unknown"),
        ({"sub": None}, "token_unknown"),
        ({"sub": 7}, "token_unknown"),
        ({"cnf": {"x5t#S256": "abc"}}, "token_unknown"),
        ({"roles": None}, "scope_insufficient"),
        ({"roles": ["admin", "operator"]}, "scope_insufficient"),
        ({"roles": {"eng": True}}, "scope_insufficient"),
    ):
        assert await world.code(world.token(**claims)) == code, claims
    assert await world.code(world.token(header={"typ": "JWT"})) == "token_unknown"
    # A clock may differ a little, and an audience be one of several.
    await world.enter(world.token(nbf=now + 29, aud=["https://other.example", RESOURCE]))
    await world.enter(world.token(header={"typ": None}))


async def test_signatures_that_prove_nothing(world: World) -> None:
    """None at all, a shared secret made of the public key, another key with the same id, and ways to one's own key."""
    warnings.simplefilter("ignore")
    head, payload, signature = world.token().split(".")

    def part(document: dict[str, Any]) -> str:
        return urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")

    def by_secret(secret: bytes) -> str:
        signed = f"{part({'alg': 'HS256', 'kid': 'c1', 'typ': 'at+jwt'})}.{payload}"
        digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{urlsafe_b64encode(digest).decode().rstrip('=')}"

    def by_corp(header: dict[str, Any]) -> str:
        """Signed as it should be, whatever the header says."""
        private: Any = CORP_KEY.private_key
        signed = f"{part(header)}.{payload}"
        raw = private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{urlsafe_b64encode(raw).decode().rstrip('=')}"

    await world.enter(by_corp({"alg": "RS256", "kid": "c1"}))
    own = {"jwk": EVIL.as_dict(private=False), "jku": "https://evil.example/keys", "x5u": "https://evil.example/x"}
    claims = json.loads(urlsafe_b64decode_padded(payload))
    attacks = {
        "none": f"{part({'alg': 'none', 'typ': 'at+jwt'})}.{payload}.",
        "None": f"{part({'alg': 'nOnE', 'kid': 'c1'})}.{payload}.{signature}",
        "hs256 with the PEM": by_secret(CORP_KEY.as_pem(private=False)),
        "hs256 with the JWK": by_secret(json.dumps(CORP_KEY.as_dict(private=False)).encode()),
        "another key": world.token(EVIL),
        "own key in the header": world.token(EVIL, own),
        "unknown crit": by_corp({"alg": "RS256", "kid": "c1", "crit": ["exp"], "exp": 1}),
        "crit of b64": f"{part({'alg': 'RS256', 'kid': 'c1', 'b64': False, 'crit': ['b64']})}.{payload}.{signature}",
        "other claims": f"{head}.{part(claims | {'sub': 'root'})}.{signature}",
        "kid as a path": world.token(header={"kid": "../../../../dev/null"}),
        "kid as a query": world.token(header={"kid": "c1' OR '1'='1"}),
        "kid as a list": f"{part({'alg': 'RS256', 'kid': ['c1']})}.{payload}.{signature}",
        "no signature": f"{head}.{payload}.",
        "two parts": f"{head}.{payload}",
        "five parts": "a.b.c.d.e",
        "not ascii": f"{head}.é.{signature}",
        "huge": f"{head}.{payload}{'A' * 9000}.{signature}",
    }
    for name, token in attacks.items():
        assert await world.code(token) == "token_unknown", name
    assert [url for url in world.web.asked if "evil" in url] == []
    with pytest.raises(ValueError, match="algorithms"):
        OAuthSettings.model_validate({"issuers": {"x": {"issuer": CORP, "algorithms": ["HS256"]}}})


def urlsafe_b64decode_padded(text: str) -> bytes:
    from base64 import urlsafe_b64decode

    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_tenants_come_from_the_issuer_alone(world: World) -> None:
    """One claim, translated; a token of two tenants is one of none; an issuer of one tenant speaks for no other."""
    lab = {"iss": LAB, "scope": "openid cenoby", "realm_access": {"roles": ["admin"]}}
    a = await world.enter(world.token(LAB_KEY, **lab, org="org-a"))
    b = await world.enter(world.token(LAB_KEY, **lab, org="org-b"))
    assert (a.tenant, b.tenant, a.roles, a.kind) == ("a", "b", ("operator",), "person")
    # The same subject in two tenants is two agents: what is counted by name is never shared.
    assert a.agent != b.agent
    for org in ("default", "a", "org-c", None, ["org-a", "org-b"], {"org-a": 1}):
        assert await world.code(world.token(LAB_KEY, **lab, org=org)) == "scope_insufficient"
    assert (await world.enter(world.token(org="org-a", tenant="a"))).tenant == "default"
    assert await world.code(world.token(LAB_KEY, **lab | {"scope": "openid"}, org="org-a")) == "scope_insufficient"
    # Signed by one issuer in the name of another.
    assert await world.code(world.token(CORP_KEY, **lab, org="org-a")) == "token_unknown"


async def test_a_key_may_change(world: World) -> None:
    """A new key is found by one look; what it had signed before, and the old key goes when the issuer drops it."""
    await world.enter(world.token())
    new = jwk.RSAKey.generate_key(2048, {"kid": "c2"})
    world.web.keys[CORP] = [new]
    world.clock.advance(BETWEEN_LOOKS)
    assert (await world.enter(world.token(new, sub="bob"))).agent == "corp#bob"
    assert await world.code(world.token(sub="eve")) == "token_unknown"


async def test_invented_key_ids_cost_the_issuer_nothing(world: World) -> None:
    """However many tokens with unknown keys come, it is asked once in half a minute."""
    await world.enter(world.token())
    for number in range(50):
        assert await world.code(world.token(header={"kid": f"x{number}"})) == "token_unknown"
    assert len(world.web.asked) == 1
    world.clock.advance(BETWEEN_LOOKS)
    for number in range(50):
        assert await world.code(world.token(header={"kid": f"y{number}"})) == "token_unknown"
    assert len(world.web.asked) == 2


async def test_while_the_issuer_is_down_known_keys_hold_and_no_others(world: World) -> None:
    """For a day, and then nobody is believed; before the first word of it, nobody either."""
    world.web.down = True
    assert await world.code(world.token()) == "issuer_silent"
    world.web.down = False
    world.clock.advance(BETWEEN_LOOKS)
    await world.enter(world.token())
    world.web.down = True
    world.clock.advance(3600)
    assert (await world.enter(world.token(sub="bob"))).agent == "corp#bob"
    assert await world.code(world.token(header={"kid": "c2"})) == "token_unknown"
    world.clock.advance(86_400)
    assert await world.code(world.token(sub="carl")) == "issuer_silent"


async def test_a_blocked_subject_is_out_at_once(world: World) -> None:
    """All its tokens or one, also one in use, and those under way are told; unblocked, it is in again."""
    operator = Principal("ola", "default", ("operator",), "person")
    first, second = world.token(jti="one"), world.token(jti="two")
    principal = await world.enter(first)
    await world.enter(second)
    told: list[str] = []
    world.identities.hold(principal, lambda problem: told.append(problem.code))
    seen = world.identities.ends
    await world.identities.blocks.add("corp#ann", "one", "stolen", operator)
    assert told == ["token_revoked"]
    assert world.identities.ends > seen
    problem = world.identities.ended(principal)
    assert problem is not None
    assert await world.code(first) == "token_revoked"
    assert world.identities.authenticate(second).agent == "corp#ann"
    await world.identities.blocks.add("corp#ann", "", "left", operator)
    assert await world.code(second) == "token_revoked"
    await world.identities.blocks.remove("corp#ann", "", operator)
    assert world.identities.authenticate(second).agent == "corp#ann"


async def test_a_token_bound_to_a_key_needs_it(world: World) -> None:
    """`cnf.jkt` holds for tokens of others as for ours."""
    token = world.token(cnf={"jkt": CORP_KEY.thumbprint()})
    await world.foreign.admit(token)
    for shown, code in ((token, "token_bound"), (Proven(token, EVIL.thumbprint()), "proof_invalid")):
        with pytest.raises(AccessUnauthenticated) as refused:
            world.identities.authenticate(shown)
        assert refused.value.code == code
    assert world.identities.authenticate(Proven(token, CORP_KEY.thumbprint())).agent == "corp#ann"


@pytest.mark.parametrize("subject", ["ann", "Ann", "ann@corp.example", "a b", "x" * 300, "", "ü", "~", "../etc", "a#b"])
def test_names_never_collide(subject: str) -> None:
    """A subject's name is no agent's of ours, fits, and is nobody else's under another issuer or tenant."""
    names = {
        agent_name(issuer, one, tenant)
        for issuer in ("corp", "lab")
        for tenant in ("", "a", "b")
        for one in (subject, subject + "x")
    }
    assert len(names) == 12
    for name in names:
        assert len(name) <= 63
        assert name.isascii()
        assert not _NAME.fullmatch(name)


def test_a_role_that_does_not_exist_stops_the_start(clock: ManualClock) -> None:
    """A typing error in the settings is found before anybody is let in."""
    settings = OAuthSettings.model_validate({"issuers": {"x": {"issuer": CORP, "roles": {"eng": ["develper"]}}}})
    with pytest.raises(AccessRefused) as refused:
        ForeignTokens(settings, Web().fetch, clock, None, RoleTable())  # type: ignore[arg-type]
    assert refused.value.code == "role_unknown"


@pytest.mark.parametrize("url", ["http://corp.example", "ftp://corp.example", "corp.example", "https://c.example/#x"])
def test_an_issuer_is_spoken_to_in_secret(url: str) -> None:
    """Keys that came in the clear would be anybody's."""
    with pytest.raises(ValueError, match="https"):
        OAuthSettings.model_validate({"issuers": {"x": {"issuer": url}}})
