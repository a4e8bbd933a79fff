"""A colony and a real, certified identity provider: tokens of agents, and people who sign in to the status page."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
from base64 import urlsafe_b64encode
from typing import Any

import httpx2
import pytest
from joserfc import jwk, jwt

from tests.conftest import RunningColony
from tests.oidc.conftest import Issuer, away, through_provider

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def call(
    colony: RunningColony, token: str, tool: str, *, scheme: str = "Bearer", proof: str = "", **arguments: Any
) -> Any:
    """The HTTP answer to one stateless call."""
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": tool,
        **({"authorization": f"{scheme} {token}"} if token else {}),
        **({"dpop": proof} if proof else {}),
    }
    params = {"name": tool, "arguments": arguments, "_meta": META}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    return httpx2.post(colony.url, content=body, headers=headers, timeout=30)


def test_a_client_finds_its_way(colony: RunningColony, issuer: Issuer) -> None:
    """From the 401 to the metadata, to the provider, to a token for this resource, to the tool."""
    challenge = call(colony, "", "mads.grace.status").headers["www-authenticate"]
    url = challenge.split('resource_metadata="')[1].rstrip('"')
    metadata = httpx2.get(url).json()
    assert metadata["resource"] == colony.url == issuer.resource
    assert metadata["authorization_servers"] == [issuer.url]
    assert metadata["scopes_supported"] == ["cenoby"]
    answer = call(colony, issuer.token(resource=metadata["resource"]), "mads.grace.status")
    assert answer.status_code == 200, answer.text
    assert not answer.json()["result"]["isError"]
    records = colony.cenoby("call", "mads.grace.list_records", "tool=mads.grace.status").stdout
    assert json.loads(records)["records"][0]["agent"].startswith("corp~")


def test_nothing_durable_comes_of_first_sight(colony: RunningColony, issuer: Issuer) -> None:
    """No agent and no token is registered, however often somebody comes by a token of the provider."""

    def registered() -> list[Any]:
        with contextlib.closing(sqlite3.connect(f"file:{colony.data / 'colony.db'}?mode=ro", uri=True)) as database:
            return [database.execute(f"SELECT * FROM {table}").fetchall() for table in ("agents", "tokens")]

    before = registered()
    for _ in range(3):
        assert call(colony, issuer.token(), "mads.grace.status").status_code == 200
    assert registered() == before
    assert "declared" in str(before)


def test_a_token_for_something_else_is_refused(colony: RunningColony, issuer: Issuer) -> None:
    """Another resource: 401. No scope or no role here: 403, which says the scope."""
    other = call(colony, issuer.token(resource="https://other.example/mcp"), "mads.grace.status")
    assert (other.status_code, "invalid_token" in other.headers["www-authenticate"]) == (401, True)
    for token in (issuer.token(scope="other"), issuer.token("idle")):
        refused = call(colony, token, "mads.grace.status")
        assert refused.status_code == 403
        assert 'error="insufficient_scope", scope="cenoby"' in refused.headers["www-authenticate"]


def test_two_organisations_share_nothing(colony: RunningColony, issuer: Issuer) -> None:
    """What an agent of one posts, one of the other neither finds nor reads, with tokens of one provider."""
    ours, theirs = issuer.token("bot"), issuer.token("rival")
    made = call(colony, ours, "mads.rogers.create_conversation", name="zebra plans").json()["result"][
        "structuredContent"
    ]
    assert "zebra" in call(colony, ours, "mads.rogers.list_conversations").text
    assert "zebra" not in call(colony, theirs, "mads.rogers.list_conversations").text
    read = call(colony, theirs, "mads.rogers.get_history", conversation=made["id"])
    assert read.json()["result"]["isError"]


def test_a_token_bound_to_a_key(colony: RunningColony, issuer: Issuer) -> None:
    """The provider binds it to the client's key (RFC 9449), and here it needs that key's proof at every call."""
    key = jwk.ECKey.generate_key("P-256")

    def proof(url: str, token: str = "") -> str:
        ath = urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode().rstrip("=")
        claims = {"jti": str(time.monotonic_ns()), "htm": "POST", "htu": url, "iat": int(time.time())}
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
        return jwt.encode(header, claims | ({"ath": ath} if token else {}), key)

    token = issuer.token(proof=proof(f"{issuer.url}/token"))
    good = proof(colony.url, token)
    assert call(colony, token, "mads.grace.status", scheme="DPoP", proof=good).status_code == 200
    assert call(colony, token, "mads.grace.status", scheme="DPoP", proof=good).status_code == 401
    assert call(colony, token, "mads.grace.status").status_code == 401


def sign_in(browser: httpx2.Client, issuer: Issuer, person: str) -> httpx2.Response:
    """Sign in from the status page's link to the page that the provider leads back to."""
    page = issuer.resource.removesuffix("/mcp")
    assert "/sign-in/begin" in browser.get(f"{page}/").text
    begun = browser.get(f"{page}/sign-in/begin")
    assert begun.status_code == 303, begun.text
    back = through_provider(browser, begun.headers["location"], person, issuer.redirect)
    return browser.get(back)


def test_a_person_signs_in_and_out(colony: RunningColony, issuer: Issuer, browser: httpx2.Client) -> None:
    """With the provider's roles, under a name of the provider's, in a cookie that no script and no other site gets."""
    page = issuer.resource.removesuffix("/mcp")
    done = sign_in(browser, issuer, "ola")
    assert done.status_code == 200, done.text
    cookie = next(value for value in done.headers.get_list("set-cookie") if value.startswith("cenoby_session="))
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    overview = browser.get(f"{page}/")
    assert "Sign out" in overview.text
    form_key = overview.text.split('name="form_key" value="')[1].split('"')[0]
    records = json.loads(colony.cenoby("call", "mads.grace.list_records", "limit=20").stdout)["records"]
    assert any(one["agent"].startswith("corp~") for one in records)
    session = browser.cookies["cenoby_session"]
    assert browser.post(f"{page}/sign-out", data={"form_key": form_key}).status_code == 303
    again = browser.get(f"{page}/", headers={"cookie": f"cenoby_session={session}"})
    assert "Sign out" not in again.text


def test_a_person_without_a_role_stays_outside(colony: RunningColony, issuer: Issuer, browser: httpx2.Client) -> None:
    """The provider knows them; the colony gives them nothing."""
    answer = sign_in(browser, issuer, "eve")
    assert answer.status_code == 403
    assert "cenoby_session" not in browser.cookies


def test_an_answer_for_another_browser_is_refused(
    colony: RunningColony, issuer: Issuer, browser: httpx2.Client
) -> None:
    """A code that was issued to somebody else's browser, one with another state, and one that was used."""
    page = issuer.resource.removesuffix("/mcp")
    begun = browser.get(f"{page}/sign-in/begin")
    back = through_provider(browser, begun.headers["location"], "ola", issuer.redirect)
    with httpx2.Client(timeout=30) as victim:
        assert victim.get(back).status_code == 403
        victim.get(f"{page}/sign-in/begin")
        assert victim.get(back).status_code == 403
    other_state = str(httpx2.URL(back).copy_set_param("state", "x"))
    assert browser.get(other_state).status_code == 403
    # The attempt has used up what was begun here.
    assert browser.get(back).status_code == 403


@pytest.mark.slow
def test_a_provider_that_is_down_or_has_new_keys(colony: RunningColony, issuer: Issuer) -> None:
    """Known tokens go on, also new ones of known keys; after its return with a new key, that one is found."""
    known, unseen = issuer.token(), issuer.token()
    assert call(colony, known, "mads.grace.status").status_code == 200
    with away(issuer, "k2"):
        assert call(colony, known, "mads.grace.status").status_code == 200
        assert call(colony, unseen, "mads.grace.status").status_code == 200
    fresh = issuer.token()
    deadline = time.monotonic() + 120
    while call(colony, fresh, "mads.grace.status").status_code != 200:
        # It is asked again half a minute after the last look, and no sooner.
        assert time.monotonic() < deadline
        time.sleep(1)
    stolen = call(colony, f"{fresh[:-4]}AAAA", "mads.grace.status")
    assert stolen.status_code == 401


def test_a_blocked_subject_is_out(colony: RunningColony, issuer: Issuer) -> None:
    """By the command, at once, with a token that was good a moment ago; and in again when it is unblocked."""
    token = issuer.token()
    assert call(colony, token, "mads.grace.status").status_code == 200
    records = json.loads(colony.cenoby("call", "mads.grace.list_records", "tool=mads.grace.status").stdout)
    agent = records["records"][0]["agent"]
    assert colony.cenoby("token", "block", agent, "--reason", "left").stdout.strip() == f"blocked {agent}"
    assert call(colony, token, "mads.grace.status").status_code == 401
    assert call(colony, issuer.token(), "mads.grace.status").status_code == 401
    colony.cenoby("token", "unblock", agent)
    assert call(colony, token, "mads.grace.status").status_code == 200
