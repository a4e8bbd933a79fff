"""Proof of possession: a token that is bound to a key is of no use to whoever only copied it (RFC 9449, DPoP).

With every request the sender signs a small statement, the proof: which method of which URL it calls, now, with which
token. A proof is good for one request: its id is remembered for as long as its time would do.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

from cenoby.access.errors import AccessUnauthenticated
from cenoby.kernel.clock import Clock

ALGORITHMS = ("ES256", "ES384", "RS256", "PS256", "Ed25519", "EdDSA")
"""Signatures that a proof may have; all of them need a key pair."""

WINDOW_SECONDS = 60
"""A proof may be so much older than our clock, or younger."""

_LARGEST = 4096
_MOST_OF_ONE_KEY = 20_000
_MOST = 200_000
_NONCE_SECONDS = 120
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_ID = re.compile(r"[\x21-\x7e]{1,256}")


class Proof(NamedTuple):
    """A proof that holds, if it was not used before: the key's thumbprint, its own id, and until when it could be."""

    key: str
    id: str
    until_ns: int


class _Registry(jws.JWSRegistry):
    # The public key travels in the header, and an RSA key alone has more than the library's usual 512 bytes.
    max_header_length = 3072


class Proofs:
    """Checks proofs, and remembers those that were used. A process has one; what one has seen no other knows.

    Args:
        clock: the time.
        nonces: whether a proof must carry a nonce that this process gave out; then none can be made in advance, nor
            be used again at another process of the colony.
    """

    def __init__(self, clock: Clock, *, nonces: bool = False) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._nonces = nonces
        self._used: dict[str, dict[str, int]] = {}
        self._count = 0

    def nonce(self) -> str:
        """The nonce that proofs are to carry from now on; the one before it goes on being good as long again."""
        return self._nonce(self._clock.now_ns() // 1_000_000_000 // _NONCE_SECONDS)

    def check(self, text: str, method: str, url: str, token: str) -> Proof:
        """Verify a proof for one request with one token (RFC 9449, section 4.3); `use` it once all else holds.

        Args:
            text: the header `DPoP`.
            method, url: of the request; query and fragment do not count.
            token: the token that came with it.

        Raises:
            AccessUnauthenticated: `proof_invalid` or `proof_nonce`.
        """
        if not text or len(text) > _LARGEST:
            raise _invalid("it is missing, or larger than 4096 bytes")
        try:
            key, claims = _verified(text)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise _invalid(f"it is no signed statement with its public key ({type(error).__name__})") from None
        if claims.get("htm") != method or _place(claims.get("htu")) != _place(url):
            raise _invalid("it is for another method or address")
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        if claims.get("ath") != urlsafe_b64encode(digest).decode().rstrip("="):
            raise _invalid("it is for another token")
        until_ns = self._checked_time(claims.get("iat"))
        if self._nonces and claims.get("nonce") not in self._good_nonces():
            raise AccessUnauthenticated("proof_nonce", AccessUnauthenticated.codes["proof_nonce"])
        identifier = claims.get("jti")
        if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
            raise _invalid("its id is missing, or longer than 256 characters")
        proof = Proof(key, identifier, until_ns)
        if self._was_used(proof):
            raise _invalid("it was used before")
        return proof

    def use(self, proof: Proof) -> None:
        """Remember a proof, whose token turned out to be good, so that it is not taken a second time.

        Raises:
            AccessUnauthenticated: `proof_invalid`: it was used meanwhile, or there are too many to remember.
        """
        if self._was_used(proof):
            raise _invalid("it was used before")
        used = self._used.setdefault(proof.key, {})
        if len(used) >= _MOST_OF_ONE_KEY or self._count >= _MOST:
            self._forget()
            used = self._used.setdefault(proof.key, {})
        if len(used) >= _MOST_OF_ONE_KEY or self._count >= _MOST:
            raise _invalid(f"this key sent more than {_MOST_OF_ONE_KEY} within {WINDOW_SECONDS * 2} s")
        used[proof.id] = proof.until_ns
        self._count += 1

    def _was_used(self, proof: Proof) -> bool:
        until_ns = self._used.get(proof.key, {}).get(proof.id)
        return until_ns is not None and until_ns >= self._clock.now_ns()

    def _forget(self) -> None:
        now_ns = self._clock.now_ns()
        live = {key: {one: end for one, end in used.items() if end >= now_ns} for key, used in self._used.items()}
        self._used = {key: used for key, used in live.items() if used}
        self._count = sum(map(len, self._used.values()))

    def _checked_time(self, issued: object) -> int:
        now_ns = self._clock.now_ns()
        if isinstance(issued, bool) or not isinstance(issued, int | float) or not 0 < issued < 1e11:
            raise _invalid("it does not say when it was made")
        issued_ns = round(issued * 1e9)
        if abs(now_ns - issued_ns) > WINDOW_SECONDS * 1_000_000_000:
            raise _invalid(f"it was not made within {WINDOW_SECONDS} s of now; look at the clocks")
        return issued_ns + WINDOW_SECONDS * 1_000_000_000

    def _good_nonces(self) -> tuple[str, str]:
        step = self._clock.now_ns() // 1_000_000_000 // _NONCE_SECONDS
        return self._nonce(step), self._nonce(step - 1)

    def _nonce(self, step: int) -> str:
        return hmac.new(self._secret, step.to_bytes(8, "big", signed=True), hashlib.sha256).hexdigest()[:32]


def check_binding(bound_to: str, key: str) -> None:
    """Pass if a token that is bound to a key came with a proof of that key, and one that is not, with none.

    Args:
        bound_to: the thumbprint that the token is bound to; empty for a bearer token.
        key: the thumbprint that was proved; empty where nothing was.

    Raises:
        AccessUnauthenticated: `token_bound` or `proof_invalid`.
    """
    if bound_to == key:
        return
    if not key:
        raise AccessUnauthenticated("token_bound", AccessUnauthenticated.codes["token_bound"])
    raise AccessUnauthenticated("proof_invalid", "The proof is of another key than the token is bound to.")


def thumbprint(public_key: Mapping[str, Any]) -> str:
    """The SHA-256 thumbprint (RFC 7638) of a public key in JWK form.

    Raises:
        ValueError: it is none, or it is a private one.
    """
    if public_key.get("kty") not in ("EC", "RSA", "OKP") or not _PRIVATE.isdisjoint(public_key):
        raise ValueError("not a public key of the kinds EC, RSA or OKP")
    try:
        return jwk.import_key(dict(public_key)).thumbprint()
    except JoseError as error:
        raise ValueError(str(error)) from error


def _verified(text: str) -> tuple[str, Mapping[str, Any]]:
    registry = _Registry(algorithms=ALGORITHMS)
    header = jws.extract_compact(text.encode("ascii"), registry=registry).protected
    found: object = header.get("jwk")
    if header.get("typ") != "dpop+jwt" or "crit" in header or not isinstance(found, dict):
        raise ValueError("not the header of a proof")
    public = cast(dict[str, Any], found)
    key = thumbprint(public)
    return key, jwt.decode(text, jwk.import_key(public), algorithms=[header["alg"]], registry=registry).claims


def _place(url: object) -> tuple[str, str, int | None, str]:
    """What of a URL a proof is about (RFC 3986, section 6.2.2 and 6.2.3)."""
    if not isinstance(url, str):
        raise _invalid("it names no address")
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        raise _invalid("it names no address") from None
    return parts.scheme.lower(), (parts.hostname or "").lower(), port, parts.path or "/"


def _invalid(why: str) -> AccessUnauthenticated:
    return AccessUnauthenticated("proof_invalid", f"The proof in the header `DPoP` does not hold: {why}.")
