"""Why somebody is turned away before it is asked what they may."""

from __future__ import annotations

from cenoby.kernel.errors import Unauthenticated


class AccessUnauthenticated(Unauthenticated):
    """The caller is nobody we know."""

    codes = {
        "token_missing": "The call carries no token; send `Authorization: Bearer <token>`.",
        "token_unknown": "No agent has this token; have an operator make one with `cenoby token create`.",
        "token_expired": "The token's time is over; have an operator make a new one.",
        "token_revoked": "The token was revoked; have an operator make a new one.",
        "token_bound": "The token is bound to a key; send `Authorization: DPoP <token>` and a proof (RFC 9449).",
        "proof_invalid": "The proof of the key (header `DPoP`) does not hold; the message says why.",
        "issuer_silent": "The authority that signed the token cannot be reached, and its keys are not known.",
        "proof_nonce": "The proof must carry the nonce that this answer's DPoP-Nonce gives; send it again with that.",
    }
