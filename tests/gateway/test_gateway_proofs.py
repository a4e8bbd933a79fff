"""Tokens bound to a key at a real gateway, and what a revocation does to a call that is under way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from base64 import urlsafe_b64encode
from typing import Any

from joserfc import jwk, jwt

from tests.gateway.conftest import META, STATELESS, McpHttp, Stand, StartStand

KEY = jwk.ECKey.generate_key("P-256")


def proof(stand: Stand, token: str, **claims: Any) -> str:
    ath = urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode().rstrip("=")
    whole = {"jti": str(time.monotonic_ns()), "htm": "POST", "htu": stand.url, "iat": int(time.time()), "ath": ath}
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.as_dict(private=False)}
    return jwt.encode(header, whole | claims, KEY)


async def say(stand: Stand, authorization: str, *proofs: str) -> Any:
    """The answer to one call of `mads.probe.say`."""
    params = {"name": "mads.probe.say", "arguments": {"text": "hello"}, "_meta": META}
    document = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": STATELESS,
        "mcp-method": "tools/call",
        "mcp-name": "mads.probe.say",
        "authorization": authorization,
    }
    if proofs:
        headers["dpop"] = proofs[0]
    return await McpHttp(stand).raw.request("POST", "/mcp", headers, json.dumps(document).encode())


async def bound_token(stand: Stand) -> str:
    return (await stand.ports.identities.create_token("ada", bound_to=KEY.thumbprint())).text


async def test_a_bound_token_works_with_its_proof_alone(stand: Stand) -> None:
    """With a proof the call passes the whole pipeline; without, with a used or a foreign one it is nobody's."""
    token = await bound_token(stand)
    good = proof(stand, token)
    answer = await say(stand, f"DPoP {token}", good)
    assert (answer.status, answer.json["result"]["structuredContent"]) == (200, {"text": "hello"})
    for authorization, shown, code in (
        (f"Bearer {token}", (), "token_bound"),
        (f"Bearer {token}", (proof(stand, token),), "token_bound"),
        (f"DPoP {token}", (), "proof_invalid"),
        (f"DPoP {token}", (good,), "proof_invalid"),
        (f"DPoP {token}", (proof(stand, token, htu="http://elsewhere.example/mcp"),), "proof_invalid"),
        (f"DPoP {token}", (proof(stand, "another"),), "proof_invalid"),
        (f"DPoP {stand.tokens['bob']}", (proof(stand, stand.tokens["bob"]),), "proof_invalid"),
    ):
        refused = await say(stand, authorization, *shown)
        assert refused.status == 401
        assert code in refused.json["error"]["message"]
        assert refused.headers["www-authenticate"].startswith("DPoP algs=")
    assert len(stand.records("mads.probe.say")) == 1


async def test_a_nonce_is_asked_for_and_taken(start_stand: StartStand) -> None:
    """The first answer names the nonce, and a proof with it is good."""
    async with start_stand(tokens={"proof_nonces": True}) as stand:
        token = await bound_token(stand)
        asked = await say(stand, f"DPoP {token}", proof(stand, token))
        assert asked.status == 401
        assert 'error="use_dpop_nonce"' in asked.headers["www-authenticate"]
        nonce = asked.headers["dpop-nonce"]
        assert (await say(stand, f"DPoP {token}", proof(stand, token, nonce=nonce))).status == 200


async def test_a_call_under_way_is_not_answered_after_a_revocation(stand: Stand, mcp: McpHttp) -> None:
    """Its tool runs to the end, and its caller gets the revocation instead of the result; the journal has that, too."""
    waiting = asyncio.create_task(mcp.stateless("tools/call", {"name": "mads.probe.wait", "arguments": {}}))
    await stand.probe.waiting.wait()
    token_id = stand.ports.identities.authenticate(stand.tokens["ada"]).token_id
    await stand.ports.identities.revoke(token_id)
    stand.probe.release.set()
    result = (await waiting).json["result"]
    assert result["isError"]
    assert "released" not in json.dumps(result)
    (record,) = stand.records("mads.probe.wait")
    assert (record.status, record.code) == ("refused", "token_revoked")


async def test_a_revocation_touches_no_other_call_under_way(stand: Stand, mcp: McpHttp) -> None:
    """Somebody else's token is revoked: the call is answered."""
    waiting = asyncio.create_task(mcp.stateless("tools/call", {"name": "mads.probe.wait", "arguments": {}}))
    await stand.probe.waiting.wait()
    await stand.ports.identities.revoke(stand.ports.identities.authenticate(stand.tokens["bob"]).token_id)
    stand.probe.release.set()
    assert (await waiting).json["result"]["structuredContent"] == {"text": "released"}
