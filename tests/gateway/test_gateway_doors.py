"""Who may knock: hosts, origins, tokens, and the gateway's other paths."""

from __future__ import annotations

import pytest

from cenoby.gateway.answers import bearer_token
from cenoby.gateway.origins import OriginRules
from tests.gateway.conftest import McpHttp, RawClient, Stand


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("localhost:8600", True),
        ("127.0.0.1:1", True),
        ("[::1]:8600", True),
        ("LOCALHOST", True),
        ("cenoby.example:443", True),
        ("cenoby.example:80", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.7", False),
        ("user@localhost", True),
        ("", False),
        (None, False),
        ("localhost:port", False),
        ("[::1", False),
    ],
)
def test_only_hosts_that_name_this_colony_are_let_in(host: str | None, allowed: bool) -> None:
    """A rebound DNS name is not a name of ours, whatever it looks like."""
    rules = OriginRules("127.0.0.1", ["cenoby.example:443"])
    assert rules.allows_host(host) is allowed
    assert rules.allows_host(host) is allowed


def test_a_wildcard_address_takes_any_literal_address_but_no_foreign_name() -> None:
    """DNS rebinding needs a name, so an address in the Host header is safe where all addresses are ours."""
    rules = OriginRules("0.0.0.0")
    assert rules.allows_host("10.0.0.7:8600")
    assert not rules.allows_host("evil.example:8600")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:9", True),
        ("https://app.example", True),
        ("https://app.example/", True),
        ("http://app.example", False),
        ("https://evil.example", False),
        ("null", False),
        ("file://", False),
        ("http://localhost.evil.example", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_only_pages_of_this_machine_or_listed_ones_may_speak(origin: str | None, allowed: bool) -> None:
    """A browser says where a page comes from; other clients say nothing."""
    assert OriginRules("127.0.0.1", origins=["https://app.example"]).allows_origin(origin) is allowed


@pytest.mark.parametrize(
    ("value", "token"),
    [(None, ""), ("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("Bearer", ""), ("abc", "")],
)
def test_a_bearer_token_is_read_from_its_header(value: str | None, token: str) -> None:
    """Only the Bearer scheme counts, in any case (RFC 6750)."""
    assert bearer_token(value) == token


async def test_a_foreign_host_or_origin_is_refused_before_the_token_is_looked_at(mcp: McpHttp) -> None:
    """A page that resolved its own name to this machine gets 403 everywhere but on the probes."""
    for other in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
        assert (await mcp.stateless("tools/list", **other)).status == 403
        assert (await mcp.raw.request("GET", "/metrics", other)).status == 403
    assert (await mcp.raw.request("GET", "/healthz", {"host": "10.1.1.1"})).status == 200


async def test_without_a_valid_token_the_answer_says_where_to_read_on(mcp: McpHttp) -> None:
    """401 with WWW-Authenticate and the resource metadata that it names (RFC 6750, RFC 9728)."""
    missing = await mcp.raw.request("POST", "/mcp", {}, b"{}")
    unknown = await mcp.stateless("tools/list", authorization="Bearer cby_nobody")
    assert (missing.status, unknown.status) == (401, 401)
    assert "error=" not in missing.headers["www-authenticate"]
    assert 'error="invalid_token"' in unknown.headers["www-authenticate"]
    assert missing.json["error"]["data"]["cenoby/error"]["code"] == "token_missing"
    origin = f"http://127.0.0.1:{mcp.stand.port}"
    metadata = f"{origin}/.well-known/oauth-protected-resource/mcp"
    assert f'resource_metadata="{metadata}"' in missing.headers["www-authenticate"]
    described = await mcp.raw.request("GET", "/.well-known/oauth-protected-resource/mcp")
    assert described.json["resource"] == f"{origin}/mcp"
    assert (await mcp.raw.request("GET", "/.well-known/oauth-protected-resource")).json == described.json


async def test_a_listed_origin_gets_its_cors_headers(stand: Stand, mcp: McpHttp) -> None:
    """A page on this machine may use the colony from its script: preflight and answer carry the headers it needs."""
    origin = "http://localhost:3000"
    preflight = await mcp.raw.request("OPTIONS", "/mcp", {"origin": origin})
    assert preflight.status == 204
    assert "mcp-method" in preflight.headers["access-control-allow-headers"]
    answer = await mcp.stateless("tools/list", origin=origin)
    assert answer.headers["access-control-allow-origin"] == origin


async def test_the_other_paths_answer(stand: Stand) -> None:
    """Health, readiness, metrics, and nothing else where no dashboard is set."""
    raw = RawClient(stand.port)
    assert (await raw.request("GET", "/healthz")).json == {"status": "ok"}
    assert (await raw.request("GET", "/readyz")).json == {"status": "ready"}
    metrics = await raw.request("GET", "/metrics")
    assert b"cenoby_open_streams" in metrics.body
    assert (await raw.request("GET", "/metrics", {"x-forwarded-for": "10.0.0.1"})).status == 401
    assert (await raw.request("GET", "/nothing")).status == 404
    assert "date" in metrics.headers
