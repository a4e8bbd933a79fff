"""The status page of a real colony: what strangers cost it, and who can sign whom out."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator

import httpx2
import pytest

from tests.conftest import RunningColony


@pytest.fixture
def browser(colony: RunningColony) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=colony.url.removesuffix("/mcp"), timeout=30) as client:
        yield client


def records(colony: RunningColony) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{colony.data / 'colony.db'}?mode=ro", uri=True)) as database:
        return database.execute("SELECT count(*) FROM journal").fetchone()[0]


def sign_in(browser: httpx2.Client, token: str) -> dict[str, str]:
    """The cookies of a new session."""
    browser.cookies.clear()
    answer = browser.post("/sign-in", data={"token": token})
    assert answer.status_code == 303, answer.text
    cookies = dict(browser.cookies)
    browser.cookies.clear()
    return cookies


def as_header(cookies: dict[str, str]) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}


def is_signed_in(browser: httpx2.Client, cookies: dict[str, str]) -> bool:
    return 'action="/sign-in"' not in browser.get("/", headers=as_header(cookies)).text


def test_a_stranger_writes_nothing_into_the_journal(colony: RunningColony, browser: httpx2.Client) -> None:
    """A token that nobody has is refused at every door of the page before any call, so it leaves no record."""
    stranger = {"Authorization": "Bearer nobody"}
    before = records(colony)
    answers = [
        browser.get("/", headers=stranger),
        browser.get("/records/x", headers=stranger),
        browser.post("/approvals", headers=stranger, data={"approval_id": "x", "decision": "deny"}),
        browser.post("/sign-in", data={"token": "nobody"}),
    ]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert all("No agent has this token" in answer.text for answer in answers)
    assert records(colony) == before
    operator = {"Authorization": f"Bearer {colony.operator_token}"}
    assert browser.get("/", headers=operator).status_code == 200
    assert records(colony) == before + 3


def test_a_revoked_token_is_not_called_with_again(colony: RunningColony, browser: httpx2.Client) -> None:
    """A session whose token was revoked is shown nothing and leaves no record; its browser may still sign out."""
    cookie = as_header(sign_in(browser, colony.token("leaver", "observer")))
    form_key = re.findall(r'name="form_key" value="([^"]+)"', browser.get("/", headers=cookie).text)[0]
    tokens = json.loads(colony.cenoby("token", "list", "--json").stdout)
    colony.cenoby("token", "revoke", *[token["id"] for token in tokens if token["agent"] == "leaver"])
    before = records(colony)
    assert browser.get("/", headers=cookie).status_code == 401
    assert browser.get("/records/x", headers=cookie).status_code == 401
    assert browser.post("/sign-out", headers=cookie, data={"form_key": form_key}).status_code == 303
    assert records(colony) == before


def test_only_the_looks_of_the_page_itself_are_left_out(colony: RunningColony, browser: httpx2.Client) -> None:
    """The page's calls say in the journal that they are; the same call by a command stays in sight."""
    operator = {"Authorization": f"Bearer {colony.operator_token}"}
    look = "<code>mads.grace.status</code>"
    before = browser.get("/", headers=operator).text.count(look)
    colony.cenoby("status")
    shown = browser.get("/", headers=operator).text
    assert "looks of this page left out" in shown
    assert shown.count(look) == before + 1
    everything = browser.get("/?all=1", headers=operator).text
    assert everything.count(look) > before + 1
    assert browser.get("/agents", headers=operator).status_code == 200


def test_signing_in_often_ends_only_the_agents_own_sessions(colony: RunningColony, browser: httpx2.Client) -> None:
    """However often an agent signs in, it keeps eight sessions, and nobody else's ends."""
    operator = sign_in(browser, colony.operator_token)
    token = colony.token("eager", "observer")
    sessions = [sign_in(browser, token) for _ in range(260)]
    assert is_signed_in(browser, operator)
    assert [is_signed_in(browser, one) for one in sessions[-9:]] == [False] + [True] * 8
