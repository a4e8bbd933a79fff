"""Credentials that are not the caller's, no longer valid, or no credentials at all; and sessions of others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterator

from redteam import wire
from redteam.house import House, suite, until
from redteam.report import Report, Room
from redteam.target import REACHED

_TOOL = "mads.target.say"
_SESSION_HEADERS = {"mcp-method": "", "mcp-name": ""}


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _tokens_of_others(known: str) -> Iterator[str]:
    """JSON web tokens that some library would take (RFC 8725), made of what an attacker knows."""
    keys = (b"", b"secret", b"cenoby", known.encode(), hashlib.sha256(known.encode()).digest())
    claims = (
        {"sub": "pia", "roles": ["operator"], "tenant": "default", "exp": 4_000_000_000},
        {"sub": "pia", "aud": "another-service", "iss": "http://127.0.0.1", "exp": 4_000_000_000},
        {"sub": "operator", "aud": ["http://127.0.0.1/mcp"], "exp": 1},
    )
    heads: tuple[dict[str, object], ...] = (
        {"alg": "none"}, {"alg": "None", "typ": "JWT"}, {"alg": "nOnE"}, {"alg": ""}, {},
        {"alg": "HS256", "kid": "../../../../dev/null"}, {"alg": "HS256", "kid": "x' OR '1'='1"},
        {"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}}, {"alg": "RS256", "jku": "http://169.254.169.254/keys"},
        {"alg": "RS256", "x5u": "http://127.0.0.1/"}, {"alg": "ES256"}, {"alg": "EdDSA", "crit": ["x"]},
    )  # fmt: skip
    for head in heads:
        for claim in claims:
            signed = f"{_part(head)}.{_part(claim)}"
            yield f"{signed}."
            for key in keys:
                signature = base64.urlsafe_b64encode(hmac.digest(key, signed.encode(), "sha256"))
                yield f"{signed}.{signature.rstrip(b'=').decode()}"


def _mangled(token: str) -> Iterator[str]:
    """Texts near a token that works."""
    yield from (
        token[:-1],
        token[1:],
        token.upper(),
        token.lower(),
        token[::-1],
        f"{token}=",
        f"{token}\x00",
        f"{token}a",
    )
    yield from (
        hashlib.sha256(token.encode()).hexdigest(),
        f"{token},{token}",
        f"{token} {token}",
        f"'{token}'",
        token[:20],
    )
    yield from (
        "",
        " ",
        "null",
        "undefined",
        "*",
        "cby_",
        "operator",
        "pia",
        "' OR 1=1 --",
        "%",
        "cby_%",
        "../admin.token",
    )
    yield from (token.replace("_", "-", 1), token.replace("c", "ｃ", 1).encode().decode("latin-1"), "A" * 6000)


def _requests(house: House) -> Iterator[tuple[str, bytes]]:
    """Whole requests by what they try, none of which bears a token that works where one belongs."""
    token = house.tokens["ada"]
    body = json.dumps(wire.tool_call(_TOOL, {"text": "by-token"})).encode()
    for text in (*_tokens_of_others(token), *_mangled(token)):
        yield f"token {text[:60]!r}", wire.written(body, text, _TOOL)
    schemes = ("Basic", "Token", "Digest", "DPoP", "Bearer:", "Bearer\x00", "bearertoken", "Negotiate", "", "JWT")
    for scheme in schemes:
        yield f"scheme {scheme!r}", wire.written(body, "", _TOOL, {"authorization": f"{scheme} {token}"})
    for place in ("access_token", "token", "bearer_token", "authorization", "api_key"):
        yield (
            f"in the query: {place}",
            wire.written(body, "", _TOOL, {"authorization": ""}, path=f"/mcp?{place}={token}"),
        )
    for name in (
        "cookie",
        "x-api-key",
        "x-authorization",
        "proxy-authorization",
        "x-forwarded-authorization",
        "x-access-token",
    ):
        value = f"token={token}" if name == "cookie" else f"Bearer {token}"
        yield f"header {name}", wire.written(body, "", _TOOL, {"authorization": "", name: value})
    for name in ("x-forwarded-user", "x-remote-user", "remote-user", "x-user", "x-cenoby-agent", "x-forwarded-for"):
        yield f"header {name}", wire.written(body, "", _TOOL, {"authorization": "", name: "pia"})
    twice = {"authorization": f"Bearer wrong\r\nAuthorization: Bearer {token}"}
    yield "two headers, the second works", wire.written(body, "", _TOOL, twice)


async def _lapsed(house: House) -> AsyncIterator[tuple[str, bytes]]:
    """Requests with tokens that worked once."""
    body = json.dumps(wire.tool_call(_TOOL, {"text": "by-token"})).encode()
    revoked_id, revoked = await house.new_token("ada")
    works = await house.call(revoked, _TOOL, text="before")
    assert works.code == "ok", works.text
    await house.call("pia", "mads.grace.revoke_token", token_id=revoked_id)
    _, expired = await house.new_token("ada", ttl_seconds=0.2)

    async def is_over() -> bool:
        return (await house.call(expired, "mads.grace.list_apis")).status == 401

    assert await until(is_over)
    for _ in range(10):
        yield "revoked", wire.written(body, revoked, _TOOL)
        yield "expired", wire.written(body, expired, _TOOL)


async def _sessions(house: House) -> AsyncIterator[tuple[str, bytes]]:
    """Requests of eve that name a session of ada, or one that she thought up."""
    client = {"name": "x", "version": "1"}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
    hello = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode()
    headers = {**_SESSION_HEADERS, "mcp-protocol-version": ""}
    opened = await wire.send(house.port, wire.written(hello, house.tokens["ada"], "", headers))
    session = opened.text.lower().partition("mcp-session-id:")[2].split("\r\n")[0].strip()
    assert session, opened.text
    sent = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": _TOOL, "arguments": {"text": "by-session"}},
    }
    body = json.dumps(sent).encode()
    for name in (session, session.upper(), "1", "0" * 32, "../x", "a" * 500):
        own = {**_SESSION_HEADERS, "mcp-session-id": name, "mcp-protocol-version": "2025-11-25"}
        for who in ("bob", "eve", "earl", "pia"):
            yield f"{who} in a session of ada's", wire.written(body, house.tokens[who], "", own)
        yield "a session and no token", wire.written(body, "", "", {**own, "authorization": ""})
        end = wire.written(b"", house.tokens["eve"], "", own).replace(b"POST", b"DELETE", 1)
        yield "eve ends a session", end
    works = await wire.send(
        house.port,
        wire.written(
            body.replace(b"by-session", b"own-session"),
            house.tokens["ada"],
            "",
            {**_SESSION_HEADERS, "mcp-session-id": session, "mcp-protocol-version": "2025-11-25"},
        ),
    )
    assert works.status == 200, works.text


async def attack(house: House, room: Room) -> Report:
    """Send each request; nothing of it may reach a tool, and each is answered with a refusal."""
    report = Report()
    heard = await house.call("ada", _TOOL, text="with a token")
    report.control(f"a good token was refused: {heard.code}", passed=heard.code == "ok")
    lapsed = [one async for one in _lapsed(house)]
    # What opens a session ends with an own call in it, after those of others: their attempts must not have ended it.
    async for what, request in _sessions(house):
        await _try(house, report, what, request)
    for what, request in room.draw([*_requests(house), *lapsed]):
        await _try(house, report, what, request)
    report.control("the session of ada's was of no use", passed="own-session" in REACHED)
    return report


async def _try(house: House, report: Report, what: str, request: bytes) -> None:
    before = len(REACHED)
    heard = await wire.send(house.port, request)
    report.count(f"{what}: {heard.status}", stopped=len(REACHED) == before and heard.status in (400, 401, 403, 404))


play = suite(attack)
