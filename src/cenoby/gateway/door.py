"""Who knocks, where it is not a token of ours that is known already; and what a stranger is told.

Here are the ways in by a proof of possession (RFC 9449) and by another authority's access token, the challenges of a
protected resource (RFC 6750), and its metadata (RFC 9728).
"""

from __future__ import annotations

from typing import Any

from starlette.types import Scope, Send

from cenoby.access.principals import Credential, Principal, Proven
from cenoby.access.proofs import ALGORITHMS, Proofs
from cenoby.access.roles import AccessRefused
from cenoby.access.tokens import Identities
from cenoby.gateway.answers import Headers, answer_rpc_error, header
from cenoby.gateway.errors import APPLICATION_ERROR, ERROR_META_KEY
from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import CenobyError, Unauthenticated
from cenoby.kernel.settings_identity import OAuthSettings

METADATA_PATH = "/.well-known/oauth-protected-resource"


class Door:
    """Lets in, or says why not.

    Args:
        identities: all agents and tokens, and whom others vouch for.
        settings: who these are, and as what clients know this endpoint.
        clock: the time.
        colony: its name.
        path: of the MCP endpoint.
        nonces: whether proofs must carry one.
    """

    def __init__(
        self, identities: Identities, settings: OAuthSettings, clock: Clock, colony: str, path: str, *, nonces: bool
    ) -> None:
        self._identities = identities
        self._settings = settings
        self._proofs = Proofs(clock, nonces=nonces)
        self._nonces = nonces
        self._colony = colony
        self._path = path

    async def enter(self, scope: Scope, problem: Unauthenticated) -> tuple[Principal, Credential]:
        """Who sent a request whose `Authorization: Bearer` is not enough, and what the pipeline is to be shown.

        Args:
            scope: of the request.
            problem: what came of taking it for a bearer token of ours.

        Raises:
            Unauthenticated: nobody.
            AccessRefused: `scope_insufficient`: somebody who has no right here.
        """
        scheme, _, token = (header(scope, b"authorization") or "").partition(" ")
        token = token.strip()
        foreign = self._identities.foreign
        by_key = scheme.lower() == "dpop"
        if not by_key and (problem.code != "token_unknown" or foreign is None or token.count(".") != 2):
            raise problem
        proof = self._proofs.check(*self._proof_in(scope), token) if by_key else None
        if foreign is not None and token.count(".") == 2 and foreign.get(token) is None:
            await foreign.admit(token)
        shown = token if proof is None else Proven(token, proof.key)
        principal = self._identities.authenticate(shown)
        if proof is not None:
            self._proofs.use(proof)
        return principal, shown

    async def refuse(self, scope: Scope, send: Send, error: CenobyError) -> None:
        """Answer whoever was not let in (RFC 6750, section 3; RFC 9449, section 7.1; RFC 9728, section 5.1)."""
        status = error.http_status
        headers: Headers = []
        if isinstance(error, AccessRefused):
            wanted = " ".join(self._scopes())
            problem = 'error="insufficient_scope", ' + (f'scope="{wanted}", ' if wanted else "")
        elif error.code == "token_missing":
            problem = ""
        elif error.code == "proof_nonce":
            problem = 'error="use_dpop_nonce", '
        else:
            problem = f'error="{_RFC9449.get(error.code, "invalid_token")}", error_description="{error.code}", '
        if error.code == "issuer_silent":
            status, headers = 503, [(b"retry-after", b"30")]
        by_key = (header(scope, b"authorization") or "").lower().startswith("dpop ") or error.code == "token_bound"
        scheme = f'DPoP algs="{" ".join(ALGORITHMS)}", ' if by_key else 'Bearer realm="cenoby", '
        challenge = f'{scheme}{problem}resource_metadata="{self._origin(scope)}{METADATA_PATH}{self._path}"'
        if self._nonces and by_key:
            headers = [*headers, (b"dpop-nonce", self._proofs.nonce().encode())]
        await answer_rpc_error(
            send,
            status,
            APPLICATION_ERROR,
            f"{error.code}: {error.message}",
            data={ERROR_META_KEY: error.to_wire()},
            headers=[(b"www-authenticate", challenge.encode("latin-1", "replace")), *headers],
        )

    def metadata(self, scope: Scope) -> dict[str, Any]:
        """What this resource says of itself (RFC 9728). Without issuers, an operator hands out tokens."""
        said: dict[str, Any] = {
            "resource": self._resource(scope),
            "resource_name": f"Cenoby colony {self._colony}",
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": list(ALGORITHMS),
        }
        if self._settings.issuers:
            said["authorization_servers"] = [one.issuer for one in self._settings.issuers.values()]
        if scopes := self._scopes():
            said["scopes_supported"] = scopes
        return said

    def _proof_in(self, scope: Scope) -> tuple[str, str, str]:
        proofs = [value for name, value in scope["headers"] if name == b"dpop"]
        # RFC 9449, section 4.3: there is not more than one.
        text = proofs[0].decode("latin-1") if len(proofs) == 1 else ""
        return text, scope["method"], self._resource(scope)

    def _resource(self, scope: Scope) -> str:
        return self._settings.resource or f"{self._origin(scope)}{self._path}"

    def _origin(self, scope: Scope) -> str:
        if self._settings.resource is not None:
            return self._settings.resource.removesuffix(self._path)
        return f"{scope.get('scheme', 'http')}://{header(scope, b'host') or 'localhost'}"

    def _scopes(self) -> list[str]:
        return sorted({one.scope for one in self._settings.issuers.values() if one.scope})


_RFC9449 = {"proof_invalid": "invalid_dpop_proof"}
