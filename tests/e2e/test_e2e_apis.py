"""Versioned APIs between colonies, each a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cenoby.cli.contracts import contract_problems
from tests.conftest import RunningColony, run_colony

PROVIDER = """
mads: [rogers, grace]
publish:
  - name: talk
    version: 1
    until: 2020-01-01
    tools: {post: mads.rogers.post_message}
  - name: talk
    version: 2
    until: 2999-12-31
    tools:
      open: mads.rogers.create_conversation
      post: {tool: mads.rogers.post_message, rename: {text: content}}
      history: mads.rogers.get_history
    events: [message_posted]
  - name: talk
    version: 3
    tools: {open: mads.rogers.create_conversation, post: mads.rogers.post_message}
"""


def document(colony: RunningColony, folder: Path, version: int, *options: str) -> Path:
    file = folder / f"talk.v{version}.json"
    file.write_text(colony.cenoby("api", "schema", "talk", "--version", str(version), *options).stdout)
    return file


@pytest.mark.slow
def test_a_document_is_printed_kept_and_checked(tmp_path: Path) -> None:
    """Equal after a restart; the check passes while the version grows, and names what is gone, changed or ended."""
    with run_colony(tmp_path / "other", settings=PROVIDER) as other:
        file = document(other, tmp_path, 2)
        part = (tmp_path / "part.json", document(other, tmp_path / "other", 2, "--only", "open"))[1]
        before = file.read_text()
        assert set(json.loads(part.read_text())["tools"]) == {"open"}
        assert other.cenoby("api", "check", str(file)).stdout == f"ok {file}\n"
        listed = json.loads(other.cenoby("api", "list", "--json").stdout)
        assert [(one["version"], one["ended"]) for one in listed] == [(1, True), (2, False), (3, False)]
        tools = {one["name"] for one in json.loads(other.cenoby("tools", "--json").stdout)}
        assert {"mads__talk_v2__post", "mads__talk_v3__post"} <= tools and "mads__talk_v1__post" not in tools
        ended = other.cenoby("call", "mads.talk_v1.post", "conversation=x", "content=y", check=False)
        assert ended.returncode == 2
        assert ended.stderr == ("cenoby: talk v1 was served until 2020-01-01; use v3, mads.talk_v3.*. [api_ended]\n")
    with run_colony(tmp_path / "other", settings=PROVIDER) as other:
        assert document(other, tmp_path, 2).read_text() == before
        token = other.token("ci", "observer")
        assert contract_problems(file, other.url, token) == []
    broken = PROVIDER.replace("      history: mads.rogers.get_history\n", "").replace(", rename: {text: content}", "")
    with run_colony(tmp_path / "other", settings=broken.replace("2999-12-31", "2998-12-31")) as other:
        checked = other.cenoby("api", "check", str(file), "--json", check=False)
        assert checked.returncode == 1
        problems = json.loads(checked.stdout)["error"]["details"]["problems"]
        assert problems == contract_problems(file, other.url, other.token("ci", "observer"))
        assert contract_problems(part, other.url, other.operator_token) == problems[:1]
    assert problems == [
        "it ends on 2998-12-31, and 2999-12-31 was promised",
        "tool history: is gone",
        "tool post: input as promised: content: may be missing, and is required",
        "tool post: input as promised: text: may be there, and is not accepted",
    ]


def consumer(other: RunningColony, **more: str) -> str:
    place = other.url.removeprefix("http://").partition("/")[0]
    settings = {"usd_per_call": "null", "token": "other-token", "document": "talk.v2.json"} | more
    return f"""
mads: [rogers, turing, grace]
egress: {{allow: ["{place}"]}}
breaker: {{failures: 2, open_seconds: 600}}
colonies:
  other:
    url: {other.url}
    token: {settings["token"]}
    uses: [{{api: talk, version: 2, document: {settings["document"]}, usd_per_call: {settings["usd_per_call"]}}}]
"""


def failed(colony: RunningColony, *arguments: str) -> dict[str, Any]:
    done = colony.cenoby("call", *arguments, "--json", check=False)
    assert done.returncode
    return json.loads(done.stdout)["error"]


@pytest.mark.slow
def test_a_colony_calls_another(tmp_path: Path) -> None:
    """Through its own pipeline and then the other's: both journals have it, each refuses by its own rule, and what the
    other says, or that it is gone, becomes a code of ours."""
    with run_colony(tmp_path / "other", settings=PROVIDER) as other:
        text = document(other, tmp_path, 2).read_text()
        changed = json.loads(text)
        changed["tools"]["open"]["output"]["required"].append("promised")
        (tmp_path / "changed.json").write_text(json.dumps(changed))
        second = consumer(other, document="changed.json").partition("colonies:\n")[2].replace("other:", "strict:")
        with run_colony(tmp_path / "home", settings=consumer(other) + second) as home:
            missing = failed(home, "mads.other.talk_v2_open", "name=x")
            assert missing["code"] == "secret_unknown"
            home.cenoby(
                "call", "mads.turing.set_secret", "name=other-token", "value=no-token-at-all", "colony_only=true"
            )
            assert failed(home, "mads.other.talk_v2_open", "name=x")["code"] == "foreign_token"
            token = other.token("home", "developer")
            home.cenoby("call", "mads.turing.set_secret", "name=other-token", f"value={token}", "colony_only=true")

            made = json.loads(home.cenoby("call", "mads.other.talk_v2_open", "name=x").stdout)["id"]
            posted = home.cenoby("call", "mads.other.talk_v2_post", f"conversation={made}", "text=hello\u200b there")
            assert json.loads(posted.stdout)["content"] == "hello there"
            read = home.cenoby("call", "mads.other.talk_v2_history", f"conversation={made}")
            assert json.loads(read.stdout)["messages"][0]["sender"] == "home"

            unfit = failed(home, "mads.strict.talk_v2_open", "name=x")
            assert (unfit["code"], "'promised' is a required property" in unfit["message"]) == (
                "foreign_answer_invalid",
                True,
            )
            there = failed(home, "mads.other.talk_v2_history", "conversation=none")
            assert (there["code"], there["details"]["error"]["code"]) == ("foreign_refused", "conversation_unknown")
            assert failed(home, "mads.other.talk_v2_post", "content=x")["code"] == "arguments_invalid"
            watcher = home.token("watcher", "observer")
            refused = home.cenoby("call", "mads.other.talk_v2_open", "name=x", "--json", check=False, token=watcher)
            assert json.loads(refused.stdout)["error"]["code"] == "action_not_allowed"

            ours = journalled(home, "mads.other.talk_v2_post")
            theirs = journalled(other, "mads.rogers.post_message")
            assert [one["kind"] for one in ours] == ["decision", "intent", "outcome", "call"]
            assert theirs[0]["agent"] == "home"
            assert theirs[0]["causation"].split("-")[1] == ours[0]["correlation"].replace("-", "")
            assert home.cenoby("journal", "verify").returncode == 0

            other.kill()
            codes = [failed(home, "mads.other.talk_v2_open", "name=x")["code"] for _ in range(3)]
            assert codes == ["egress_unreachable", "egress_unreachable", "circuit_open"]


def journalled(colony: RunningColony, tool: str) -> list[dict[str, Any]]:
    arguments = (f"tool={tool}", "newest_first=false")
    return json.loads(colony.cenoby("call", "mads.grace.list_records", *arguments).stdout)["records"]


@pytest.mark.slow
def test_what_is_priced_there_needs_a_price_here(tmp_path: Path) -> None:
    """A document that says `priced`, one of another version, or none at all keeps the colony from starting."""
    with run_colony(tmp_path / "other", settings=PROVIDER) as other:
        text = document(other, tmp_path, 2).read_text()
        (tmp_path / "priced.json").write_text(text.replace('"priced": false', '"priced": true'))
        (tmp_path / "v3.json").write_text(text.replace('"version": 2', '"version": 3'))
        for file, says in (
            ("priced.json", "has a price; say usd_per_call"),
            ("v3.json", "is of talk v3"),
            ("no.json", "cannot be read"),
        ):
            with (
                pytest.raises(AssertionError, match=says),
                run_colony(tmp_path / "home", settings=consumer(other, document=file)),
            ):
                pass
        settings = consumer(other, document="priced.json", usd_per_call="9.0")
        with run_colony(tmp_path / "home", settings=settings) as home:
            assert failed(home, "mads.other.talk_v2_open", "name=x")["code"] == "budget_exhausted"
