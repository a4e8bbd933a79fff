"""The status page as a browser and a program meet it; Grace stands behind it as a fake that remembers its calls."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from cenoby.dashboard.page import StatusPage
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.errors import Fault, Refused, Unauthenticated

OPERATOR = "cby_operator"
DEVELOPER = "cby_developer"
HOSTILE = "<script>alert(1)</script>\"'&"


class _Unknown(Unauthenticated):
    codes = {"test_page_unknown": "for the test"}


class _No(Refused):
    codes = {"test_page_refused": "for the test"}


class _Broken(Fault):
    codes = {"test_page_broken": "for the test"}


def record(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "seq": number,
        "id": f"0193{number:04d}-0000-7000-8000-00000000000{number}",
        "time": "2026-11-20T22:30:01.123456Z",
        "kind": "call",
        "agent": "ann",
        "mad": "turing",
        "tool": "mads.turing.get_secret",
        "action": "secret:read",
        "decision": "refused",
        "status": "refused",
        "code": "action_not_allowed",
        "correlation": "c-1",
        "causation": "",
    } | changes


@dataclass
class FakeGrace:
    """Answers as Grace's tools do, and remembers what was asked with which token."""

    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    approvals: list[dict[str, Any]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=lambda: [record(1)])
    revoked: bool = False
    broken: bool = False

    def authenticate(self, token: str) -> str:
        if token not in (OPERATOR, DEVELOPER) or self.revoked:
            raise _Unknown("test_page_unknown", "Nobody has this token.")
        return token.removeprefix("cby_")

    async def __call__(self, token: str, name: str, arguments: Mapping[str, Any]) -> Any:
        self.calls.append((token, name, dict(arguments)))
        if token == DEVELOPER and name != "mads.grace.status":
            raise _No("test_page_refused", "Your roles do not allow it.")
        if self.broken:
            raise _Broken("test_page_broken", f"It broke {HOSTILE}.")
        return getattr(self, name.rpartition(".")[2])(**arguments)

    def status(self) -> dict[str, Any]:
        mad = {"name": "turing", "tools": 4, "running": 1, "waiting": 2, "refused": 3, "summary": "Keeps secrets."}
        return {
            "colony": "main",
            "node": "n1",
            "version": "1.2.3",
            "started": "2026-11-20T20:00:00.000000Z",
            "uptime_seconds": 9_000.5,
            "approvals_waiting": len(self.approvals),
            "calls": {"ok": 40, "refused": 2},
            "journal": {"seq": 77, "id": "x", "hash": "ab" * 32},
            "protections": {"landlock": "ABI 4"},
            "mads": [mad],
        }

    def list_approvals(self) -> dict[str, Any]:
        return {"approvals": self.approvals, "next_cursor": None}

    def list_records(self, **query: Any) -> dict[str, Any]:
        return {"records": self.records, "next_cursor": "cursor+1" if query.get("cursor") is None else None}

    def list_agents(self) -> dict[str, Any]:
        agent = {"name": HOSTILE, "kind": "agent", "roles": ["observer", "scribe"], "live_tokens": 1}
        return {"agents": [agent | {"created": "2026-11-20T20:00:00.000000Z", "last_expiry": None}]}

    def costs(self) -> dict[str, Any]:
        cost = {"day": "2026-11-20", "agent": "ann", "spent_usd": 0.12, "held_usd": 0.0, "limit_usd": 5.0}
        return {"costs": [cost]}

    def get_record(self, record_id: str) -> dict[str, Any]:
        return record(1, id=record_id, payload={"arguments": {"name": HOSTILE}})

    def approve(self, approval_id: str, reason: str) -> dict[str, Any]:
        return {"id": approval_id, "reason": reason}

    deny = approve


def approval(**changes: Any) -> dict[str, Any]:
    return {
        "id": "approval-1",
        "agent": "bob",
        "tool": "mads.ops.deploy",
        "action": "deploy:production",
        "arguments": {"target": HOSTILE},
        "digest": "cd" * 32,
        "created": "2026-11-20T22:30:01.123456Z",
        "expires": "2026-11-21T02:30:01.123456Z",
    } | changes


@pytest.fixture
def grace() -> FakeGrace:
    return FakeGrace()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def browser(grace: FakeGrace, clock: ManualClock) -> AsyncIterator[httpx2.AsyncClient]:
    page = StatusPage(
        colony="main",
        version="1.2.3",
        authenticate=grace.authenticate,
        call_tool=grace,
        clock=clock,
    )
    transport = httpx2.ASGITransport(app=page)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8600") as client:
        yield client


async def sign_in(browser: httpx2.AsyncClient, token: str = OPERATOR) -> httpx2.Response:
    return await browser.post("/sign-in", data={"token": token})


async def form_key(browser: httpx2.AsyncClient) -> str:
    found = re.search(r'name="form_key" value="([^"]+)"', (await browser.get("/")).text)
    assert found
    return found[1]


async def test_a_stranger_sees_name_and_version_and_nothing_else(browser: httpx2.AsyncClient, grace: FakeGrace) -> None:
    """Nothing of the colony's inside is asked for, let alone shown, without a token."""
    answer = await browser.get("/")
    assert answer.status_code == 200
    for shown in ("main", "1.2.3", "running", "admin.token"):
        assert shown in answer.text
    for hidden in ("turing", "ann", "landlock"):
        assert hidden not in answer.text
    assert grace.calls == []


async def test_the_operator_signs_in_and_sees_the_colony(browser: httpx2.AsyncClient) -> None:
    """The cookie is out of reach of scripts and other sites, and the token is in no answer."""
    answer = await sign_in(browser)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert OPERATOR not in cookie
    shown = (await browser.get("/")).text
    for part in (
        "turing",
        "Keeps secrets.",
        "2 h 30 min",
        "ababababab",
        "landlock",
        "22:30:01.123",
        "action_not_allowed",
    ):
        assert part in shown
    assert OPERATOR not in shown


async def test_a_bearer_header_does_without_a_session(browser: httpx2.AsyncClient, grace: FakeGrace) -> None:
    """A program sees the same page by its token, and gets no cookie."""
    answer = await browser.get("/", headers={"Authorization": f"Bearer {OPERATOR}"})
    assert "Keeps secrets." in answer.text
    assert "set-cookie" not in answer.headers
    assert {token for token, _, _ in grace.calls} == {OPERATOR}


async def test_a_wrong_token_opens_nothing(browser: httpx2.AsyncClient) -> None:
    """The refusal says why, and no session begins."""
    answer = await sign_in(browser, "cby_wrong")
    assert answer.status_code == 401
    assert "Nobody has this token." in answer.text
    assert "cby_wrong" not in answer.text
    assert "Keeps secrets." not in (await browser.get("/")).text


async def test_whoever_may_see_less_is_shown_less(browser: httpx2.AsyncClient) -> None:
    """The page has no rights of its own: a developer sees the status and is told what the roles leave out."""
    await sign_in(browser, DEVELOPER)
    shown = (await browser.get("/")).text
    assert "Keeps secrets." in shown
    assert "action_not_allowed" not in shown
    assert "do not include reading the journal" in shown


async def test_sessions_end(browser: httpx2.AsyncClient, clock: ManualClock) -> None:
    """After a quarter of an hour without a look, and after eight hours in any case."""
    await sign_in(browser)
    for _ in range(33):
        clock.advance(14 * 60)
        assert "Keeps secrets." in (await browser.get("/")).text
    clock.advance(20 * 60)
    assert "Keeps secrets." not in (await browser.get("/")).text
    await sign_in(browser)
    clock.advance(15 * 60)
    assert "Keeps secrets." not in (await browser.get("/")).text


async def test_a_revoked_token_ends_its_session_at_once(browser: httpx2.AsyncClient, grace: FakeGrace) -> None:
    """The token is checked at every look, not only at sign-in."""
    await sign_in(browser)
    grace.revoked = True
    answer = await browser.get("/")
    assert answer.status_code == 401
    assert "Keeps secrets." not in answer.text


async def test_signing_out_ends_the_session(browser: httpx2.AsyncClient) -> None:
    """The session is gone on the server, not only in the browser."""
    await sign_in(browser)
    kept = dict(browser.cookies)
    assert (await browser.post("/sign-out", data={"form_key": await form_key(browser)})).status_code == 303
    browser.cookies.update(kept)
    assert "Keeps secrets." not in (await browser.get("/")).text


@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_a_decision_goes_to_grace_with_its_reason(
    browser: httpx2.AsyncClient, grace: FakeGrace, decision: str
) -> None:
    """A click is a call of Grace's tool by the person who is signed in."""
    grace.approvals = [approval()]
    await sign_in(browser)
    data = {"approval_id": "approval-1", "decision": decision, "reason": "fine", "form_key": await form_key(browser)}
    assert (await browser.post("/approvals", data=data)).status_code == 303
    assert grace.calls[-1] == (OPERATOR, f"mads.grace.{decision}", {"approval_id": "approval-1", "reason": "fine"})


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        ("", {}),
        ("wrong", {}),
        (None, {"Origin": "https://evil.example"}),
        (None, {"Sec-Fetch-Site": "cross-site"}),
        (None, {"Origin": "null"}),
    ],
)
async def test_another_site_cannot_decide(
    browser: httpx2.AsyncClient, grace: FakeGrace, key: str | None, headers: dict[str, str]
) -> None:
    """A forged form fails by its key, its origin, or what the browser says of where it came from."""
    await sign_in(browser)
    data = {"approval_id": "approval-1", "decision": "approve"}
    data["form_key"] = await form_key(browser) if key is None else key
    answer = await browser.post("/approvals", data=data, headers=headers)
    assert answer.status_code == 403
    assert not any(name == "mads.grace.approve" for _, name, _ in grace.calls)


async def test_another_site_cannot_sign_somebody_in(browser: httpx2.AsyncClient) -> None:
    """Nobody is made to look at a colony under a foreign token without noticing."""
    answer = await browser.post("/sign-in", data={"token": OPERATOR}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_a_program_decides_with_its_bearer_token(browser: httpx2.AsyncClient, grace: FakeGrace) -> None:
    """A bearer header is never sent by a browser on its own, so it needs no form key; strangers get 401."""
    data = {"approval_id": "approval-1", "decision": "approve"}
    answer = await browser.post("/approvals", data=data, headers={"Authorization": f"Bearer {OPERATOR}"})
    assert answer.status_code == 303
    assert (await browser.post("/approvals", data=data)).status_code == 401


async def test_what_agents_write_is_shown_as_text(browser: httpx2.AsyncClient, grace: FakeGrace) -> None:
    """Names, arguments, payloads and messages cannot become markup."""
    grace.approvals = [approval(agent=HOSTILE)]
    grace.records = [record(1, agent=HOSTILE, tool=HOSTILE, code=HOSTILE)]
    await sign_in(browser)
    pages = [await browser.get("/"), await browser.get("/records/x"), await browser.get(f"/?agent={HOSTILE}")]
    grace.broken = True
    pages.append(await browser.get("/records/x"))
    assert [page.status_code for page in pages] == [200, 200, 200, 500]
    for page in pages:
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;" in page.text


async def test_a_record_is_shown_whole(browser: httpx2.AsyncClient, grace: FakeGrace) -> None:
    """Its fields and payload, with a link to everything of the same correlation."""
    await sign_in(browser)
    shown = (await browser.get("/records/r1")).text
    assert "secret:read" in shown
    assert "/?correlation=c-1" in shown
    assert grace.calls[-1][2] == {"record_id": "r1"}


async def test_filters_and_older_pages_are_passed_on(browser: httpx2.AsyncClient, grace: FakeGrace) -> None:
    """Links lead to the records of one agent, and on to older ones under the same filter."""
    await sign_in(browser)
    assert "agent=ann&amp;cursor=cursor%2B1" in (await browser.get("/?agent=ann")).text
    await browser.get("/?agent=ann&cursor=cursor%2B1")
    asked = [arguments for _, name, arguments in grace.calls if name == "mads.grace.list_records"]
    assert asked[-1] == {"limit": 200, "agent": "ann", "cursor": "cursor+1"}


async def test_its_own_looks_do_not_bury_the_others(browser: httpx2.AsyncClient, grace: FakeGrace) -> None:
    """Records of the page's own reading are left out, said to be, and shown on request."""
    look = {"mad": "grace", "tool": "mads.grace.status", "decision": "allowed", "status": "ok", "code": ""}
    grace.records = [record(1, **look, agent="looker", causation="status-page"), record(2)]
    await sign_in(browser)
    assert "looker" not in (await browser.get("/")).text
    assert "1 looks of this page left out" in (await browser.get("/")).text
    assert "looker" in (await browser.get("/?all=1")).text


async def test_what_others_read_is_not_taken_for_a_look_of_the_page(
    browser: httpx2.AsyncClient, grace: FakeGrace
) -> None:
    """A program that asks Grace the same stays in sight, and so does a look that was refused."""
    look = {"mad": "grace", "tool": "mads.grace.list_records", "decision": "allowed", "status": "ok", "code": ""}
    grace.records = [
        record(1, **look, agent="scraper"),
        record(2, **look | {"status": "refused"}, agent="nosy", causation="status-page"),
    ]
    await sign_in(browser)
    shown = (await browser.get("/")).text
    assert "scraper" in shown
    assert "nosy" in shown
    assert "left out" not in shown


async def test_times_have_a_date_and_a_zone(browser: httpx2.AsyncClient, grace: FakeGrace) -> None:
    """An approval that lapses tomorrow says so, wherever the reader's clock is."""
    grace.approvals = [approval()]
    await sign_in(browser)
    shown = (await browser.get("/")).text
    assert "asked 2026-11-20 22:30:01 UTC · lapses 2026-11-21 02:30:01 UTC" in shown
    assert "No approvals are waiting" not in shown


async def test_that_nothing_waits_is_said(browser: httpx2.AsyncClient, grace: FakeGrace) -> None:
    """Whoever decides need not wonder whether the page left approvals out; who may not see them is told nothing."""
    await sign_in(browser)
    assert "No approvals are waiting" in (await browser.get("/")).text
    header = {"Authorization": f"Bearer {DEVELOPER}"}
    browser.cookies.clear()
    assert "No approvals are waiting" not in (await browser.get("/", headers=header)).text


async def test_agents_and_costs_have_a_page(browser: httpx2.AsyncClient, grace: FakeGrace) -> None:
    """Who there is with which roles, and what it cost today; what one's roles do not allow is said to be left out."""
    assert (await browser.get("/agents")).status_code == 401
    await sign_in(browser)
    shown = (await browser.get("/agents")).text
    for part in ("observer, scribe", "2026-11-20 20:00:00 UTC", "0.1200", "5.00", "&lt;script&gt;"):
        assert part in shown
    assert "<script>alert" not in shown
    assert 'href="/agents"' in (await browser.get("/")).text
    browser.cookies.clear()
    shown = (await browser.get("/agents", headers={"Authorization": f"Bearer {DEVELOPER}"})).text
    assert shown.count("Your roles do not include") == 2


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/ui/style.css", 200),
        ("/ui/refresh.js", 200),
        ("/ui/icon.svg", 200),
        ("/ui/page.py", 404),
        ("/ui/%2e%2e/page.py", 404),
        ("/nothing", 404),
        ("/records/x", 401),
    ],
)
async def test_every_answer_has_the_strict_headers(browser: httpx2.AsyncClient, path: str, status: int) -> None:
    """No inline script or style, no foreign file, no frame, on whatever page; only the listed files are to be had."""
    answer = await browser.get(path)
    assert answer.status_code == status
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_pages_hold_to_their_own_policy(browser: httpx2.AsyncClient, grace: FakeGrace) -> None:
    """No template uses what the policy forbids, and none loads anything from elsewhere."""
    grace.approvals = [approval()]
    stranger = (await browser.get("/")).text
    await sign_in(browser)
    for text in (stranger, (await browser.get("/")).text, (await browser.get("/records/x")).text):
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]* src=)", text)
        assert not re.search(r"(src|href|action)=\"(https?:)?//", text)


@pytest.mark.parametrize(
    "body",
    [b"token=" + b"x" * 20_000, b"token=%ff", "token=ü".encode(), b"", b"token=", b"&".join([b"a=b"] * 50)],
)
async def test_a_broken_form_is_answered_in_words(browser: httpx2.AsyncClient, grace: FakeGrace, body: bytes) -> None:
    """Too large, not UTF-8, empty: each is a 400 page, and nobody is asked anything."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await browser.post("/sign-in", content=body, headers=headers)
    assert answer.status_code == 400
    assert "form_invalid" in answer.text
    assert grace.calls == []


async def test_a_decision_is_one_of_two_words(browser: httpx2.AsyncClient, grace: FakeGrace) -> None:
    """The form cannot name another tool of Grace."""
    await sign_in(browser)
    data = {"approval_id": "a", "decision": "create_token", "form_key": await form_key(browser)}
    assert (await browser.post("/approvals", data=data)).status_code == 400
    assert not any("create_token" in name for _, name, _ in grace.calls)


async def test_the_number_of_sessions_is_bounded(browser: httpx2.AsyncClient) -> None:
    """Signing in again and again pushes out the oldest session and never grows without end."""
    await sign_in(browser)
    first = dict(browser.cookies)
    for _ in range(256):
        await sign_in(browser)
    browser.cookies.clear()
    browser.cookies.update(first)
    assert "Keeps secrets." not in (await browser.get("/")).text
