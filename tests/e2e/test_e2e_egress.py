"""What may leave a real colony: rules by agent, followed while it runs, and limits of an hour."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningColony

StartColony = Callable[..., AbstractContextManager[RunningColony]]
SECONDS = 30
"""Far more than a reload takes, for a machine that has other things to do."""


@pytest.fixture
def site() -> Iterator[str]:
    """A page on this machine: its host:port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/plain")
            self.send_header("content-length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *said: object) -> None:
            del said

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_who_may_reach_what_is_followed_while_it_runs(start_colony: StartColony, tmp_path: Path, site: str) -> None:
    """Denied by default, allowed to one agent by a file that is edited, and kept where the next edit is wrong; used up
    by the hour's limit, which names its rule; the journal has the refusal and every change."""
    file = tmp_path / "egress.yaml"
    file.write_text("rules: []\n")
    egress = f"egress: {{allow: ['{site}'], default: deny, rules: egress.yaml}}\n"
    with start_colony(settings=egress + "rules: {sets: {egress: disabled}}\nmads: [grace, marco]\n") as colony:
        tokens = {agent: colony.token(agent, "developer") for agent in ("ada", "bob")}

        def fetched(agent: str) -> dict[str, Any]:
            url = json.dumps({"url": f"http://{site}/"})
            said = colony.cenoby("call", "mads.marco.fetch", url, "--json", token=tokens[agent], check=False)
            return json.loads(said.stdout)

        def state() -> str:
            return json.loads(colony.cenoby("status", "--json").stdout)["protections"]["egress"]

        denied = fetched("ada")["error"]
        assert (denied["code"], denied["family"]) == ("egress_rule", "refused")
        assert "no rule allows it, and egress.default is deny" in denied["message"]

        host = site.partition(":")[0]
        reads = f"name: reads, effect: allow, agents: [ada], hosts: ['{host}'], requests_per_hour: 1"
        file.write_text(f"rules: [{{{reads}}}]\n")
        wait_for(lambda: "1 rules" in state(), "the rule was never read")
        assert fetched("ada")["text"] == "hello"
        assert fetched("bob")["error"]["code"] == "egress_rule"

        file.write_text("rules: [{name: reads, efect: deny}]\n")
        wait_for(lambda: "did you mean effect" in state(), "the wrong file was never rejected")
        spent = fetched("ada")["error"]
        assert spent["code"] == "egress_requests" and "'reads'" in spent["message"]
        assert 0 < spent["retry_after"] <= 3660

        tail = colony.cenoby("journal", "tail", "-n", "500", "--json").stdout.splitlines()
        records = list(map(json.loads, tail))
        changes = [one["code"] for one in records if one["kind"] == "event" and "egress" in one["code"]]
        assert changes == ["egress_rules_loaded", "egress_rules_loaded", "egress_rules_rejected"]
        refusals = [one["code"] for one in records if one["kind"] != "event" and one["agent"] in tokens]
        assert refusals.count("egress_rule") == 2 and refusals.count("egress_requests") == 1
