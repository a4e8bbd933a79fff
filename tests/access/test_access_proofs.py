"""Proofs of possession (RFC 9449): a copied token is of no use, and a proof is good for one request."""

from __future__ import annotations

import hashlib
import warnings
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from joserfc import jwk, jwt
from joserfc.jws import JWSRegistry

from cenoby.access.errors import AccessUnauthenticated
from cenoby.access.principals import Proven
from cenoby.access.proofs import WINDOW_SECONDS, Proofs, thumbprint
from cenoby.access.roles import RoleTable
from cenoby.access.tokens import Identities
from cenoby.kernel.clock import ManualClock
from cenoby.store.database import Database
from tests.stores import cache_of

URL, TOKEN = "https://colony.example/mcp", "cby_token"
KEY = jwk.ECKey.generate_key("P-256")
RSA = jwk.RSAKey.generate_key(2048)


class _Large(JWSRegistry):
    max_header_length = 8192


def proof(clock: ManualClock, key: Any = KEY, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A proof that holds, but for what is given."""
    ath = urlsafe_b64encode(hashlib.sha256(TOKEN.encode()).digest()).decode().rstrip("=")
    whole = {"jti": "1", "htm": "POST", "htu": URL, "iat": clock.now_ns() // 10**9, "ath": ath} | claims
    alg = {"EC": "ES256", "RSA": "RS256", "OKP": "Ed25519"}.get(key.key_type, "HS256")
    public = key.as_dict(private=False) if key.key_type != "oct" else key.as_dict()
    head = {"typ": "dpop+jwt", "alg": alg, "jwk": public} | (header or {})
    head = {name: one for name, one in head.items() if one is not None}
    registry = _Large(algorithms=[head["alg"]])
    return jwt.encode(head, {name: one for name, one in whole.items() if one is not None}, key, registry=registry)


def why(proofs: Proofs, text: str, method: str = "POST", url: str = URL, token: str = TOKEN) -> AccessUnauthenticated:
    with pytest.raises(AccessUnauthenticated) as refused:
        proofs.check(text, method, url, token)
    return refused.value


@pytest.mark.parametrize("key", [KEY, RSA, jwk.OKPKey.generate_key("Ed25519")], ids=["ec", "rsa", "ed25519"])
def test_a_proof_names_its_key(clock: ManualClock, key: Any) -> None:
    """Whatever the kind of key; query, fragment, default port and case of the host do not count."""
    proofs = Proofs(clock)
    assert proofs.check(proof(clock, key), "POST", URL, TOKEN).key == key.thumbprint()
    same = proof(clock, key, htu="https://COLONY.example:443/mcp?x=1#y")
    assert proofs.check(same, "POST", URL, TOKEN).key == thumbprint(key.as_dict(private=False))


def test_a_proof_is_good_once(clock: ManualClock) -> None:
    """The same one a second time is a replay, for as long as its time would do; then its time is over."""
    proofs = Proofs(clock)
    text = proof(clock)
    proofs.use(proofs.check(text, "POST", URL, TOKEN))
    assert "used before" in why(proofs, text).message
    proofs.use(proofs.check(proof(clock, jti="2"), "POST", URL, TOKEN))
    clock.advance(WINDOW_SECONDS)
    assert "used before" in why(proofs, text).message
    clock.advance(1)
    assert "within" in why(proofs, text).message


@pytest.mark.parametrize(
    "claims",
    [{"htm": "GET"}, {"htu": "https://other.example/mcp"}, {"htu": "https://colony.example/"}, {"htu": None},
     {"htu": "http://colony.example/mcp"}, {"htu": "https://colony.example:x/mcp"}, {"iat": None}, {"iat": True},
     {"iat": "now"}, {"ath": None}, {"ath": "x"}, {"jti": None}, {"jti": ""}, {"jti": "x" * 257}, {"jti": 7}],
)  # fmt: skip
def test_a_proof_of_something_else_is_none(clock: ManualClock, claims: dict[str, Any]) -> None:
    """Another method, place, token or time, or no id to remember it by."""
    assert why(Proofs(clock), proof(clock, **claims)).code == "proof_invalid"


@pytest.mark.parametrize("seconds", [-WINDOW_SECONDS - 2, WINDOW_SECONDS + 2])
def test_a_proof_is_of_now(clock: ManualClock, seconds: int) -> None:
    """Neither kept for later nor made in advance."""
    assert why(Proofs(clock), proof(clock, iat=clock.now_ns() // 10**9 + seconds)).code == "proof_invalid"


def test_a_proof_is_signed_by_the_key_that_it_names(clock: ManualClock) -> None:
    """Not by another, not with a shared secret, not at all, and never with the private key in it."""
    warnings.simplefilter("ignore")
    proofs, other = Proofs(clock), jwk.ECKey.generate_key("P-256")
    stolen = {"jwk": KEY.as_dict(private=False)}
    texts = [
        proof(clock, other, stolen),
        proof(clock, KEY, {"jwk": KEY.as_dict(private=True)}),
        proof(clock, KEY, {"typ": "JWT"}),
        proof(clock, KEY, {"jwk": None}),
        proof(clock, jwk.OctKey.generate_key(256), {"alg": "HS256"}),
        proof(clock, jwk.OctKey.generate_key(256), {"alg": "HS256"} | stolen),
        proof(clock)[:-4] + "AAAA",
        "",
        "a.b.c",
        "é" * 10,
        "x" * 5000,
    ]
    header, payload, _ = proof(clock).split(".")
    texts.append(f"{header}.{payload}.")
    for text in texts:
        assert why(proofs, text).code == "proof_invalid", text[:40]


def test_with_nonces_a_proof_cannot_be_made_in_advance(clock: ManualClock) -> None:
    """It needs the nonce of now or of the step before, and that of this process."""
    proofs, another = Proofs(clock, nonces=True), Proofs(clock, nonces=True)
    assert why(proofs, proof(clock)).code == "proof_nonce"
    assert why(proofs, proof(clock, nonce=another.nonce())).code == "proof_nonce"
    nonce = proofs.nonce()
    proofs.check(proof(clock, nonce=nonce), "POST", URL, TOKEN)
    clock.advance(120)
    proofs.check(proof(clock, nonce=nonce), "POST", URL, TOKEN)
    clock.advance(120)
    assert why(proofs, proof(clock, nonce=nonce)).code == "proof_nonce"


async def test_a_bound_token_needs_its_key(database: Database, clock: ManualClock) -> None:
    """Alone it opens nothing, nor with another key; a bearer token is not made stronger by a proof of any key."""
    cache = cache_of(database)
    identities = Identities(cache, clock, RoleTable())
    await cache.warm()
    key, other = KEY.thumbprint(), RSA.thumbprint()
    bound = await identities.create_token("ada", ["observer"], bound_to=key)
    bearer = await identities.create_token("ada")
    for _ in range(2):
        assert identities.authenticate(Proven(bound.text, key)).token_id == bound.id
        for shown, code in (
            (bound.text, "token_bound"),
            (Proven(bound.text, other), "proof_invalid"),
            (Proven(bearer.text, key), "proof_invalid"),
        ):
            with pytest.raises(AccessUnauthenticated) as refused:
                identities.authenticate(shown)
            assert refused.value.code == code
    again = await identities.rotate(bound.id, grace_seconds=0)
    assert identities.authenticate(Proven(again.text, key)).agent == "ada"
