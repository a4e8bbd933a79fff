"""A colony that starts sealed, as its operator uses it: by commands, through the gateway."""

from __future__ import annotations

import http.client
import io
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cenoby.cli.colony_client import connect
from cenoby.cli.main import run
from cenoby.kernel.errors import CenobyError
from tests.conftest import RunningColony

Given = Callable[..., tuple[int, Any]]
StartColony = Callable[..., AbstractContextManager[RunningColony]]
SHARES = "vault: {seal: shamir}\n"


@pytest.fixture
def given(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Given:
    """Runs a command of the vault with these lines on its standard input: exit code, and what it printed as JSON."""

    def run_it(colony: RunningColony, *arguments: str, lines: tuple[str, ...] = ()) -> tuple[int, Any]:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        try:
            code = run(["vault", *arguments, "--json", "--data", str(colony.data)])
        except SystemExit as end:
            code = int(end.code or 0)
        return code, json.loads(capsys.readouterr().out)

    return run_it


def ready(colony: RunningColony) -> tuple[int, str]:
    """What /readyz says."""
    connection = http.client.HTTPConnection(urlsplit(colony.url).netloc, timeout=20)
    connection.request("GET", "/readyz")
    response = connection.getresponse()
    said = json.loads(response.read())["status"]
    connection.close()
    return response.status, said


def secret(colony: RunningColony, tool: str, **arguments: str) -> Any:
    """The result of one of Turing's tools, or its error."""
    try:
        return connect(colony.data).call(f"mads.turing.{tool}", arguments)
    except CenobyError as error:
        return error.to_wire()


def test_a_sealed_colony_serves_all_but_secrets_until_people_open_it(start_colony: StartColony, given: Given) -> None:
    """Fresh: not initialised. With shares made and given back it is open; started again it is sealed, answers what
    needs no secret, refuses the rest with a code and a time, and opens with enough shares; none of it, nor what the
    shares are, stands in the journal, the log, an error or any file."""
    with start_colony(settings=SHARES) as colony:
        assert ready(colony) == (503, "sealed")
        assert secret(colony, "set_secret", name="k", value="value-of-k")["code"] == "vault_not_initialised"
        _, made = given(colony, "init", "--shares", "3", "--threshold", "2")
        shares = tuple(made["shares"])
        code, answer = given(colony, "unseal", lines=shares[:2])
        assert (code, answer["status"]["sealed"]) == (0, False)
        assert ready(colony) == (200, "ready")
        assert secret(colony, "set_secret", name="k", value="value-of-k")["version"] == 1
    with start_colony(settings=SHARES) as colony:
        assert ready(colony) == (503, "sealed")
        assert connect(colony.data).call("mads.rogers.create_conversation", {"name": "plans"})["name"] == "plans"
        refused = secret(colony, "get_secret", name="k")
        assert (refused["code"], refused["family"], refused["retry_after"]) == ("vault_sealed", "unavailable", 10)
        assert secret(colony, "list_secrets")["secrets"][0]["newest"]["name"] == "k"
        code, wrong = given(colony, "unseal", lines=(shares[0][:-4] + "aaaa",))
        assert (code, wrong["error"]["code"]) == (4, "seal_share_wrong")
        given(colony, "unseal", lines=shares[:1])
        status = given(colony, "status")[1]
        assert (status["given"], status["needed"], status["purpose"]) == (1, 2, "unseal")
        assert (
            given(colony, "unseal", "--attempt", "another", lines=shares[1:2])[1]["error"]["code"]
            == "seal_attempt_other"
        )
        assert not given(colony, "unseal", lines=shares[1:2])[1]["status"]["sealed"]
        assert secret(colony, "get_secret", name="k")["value"] == "value-of-k"
        assert given(colony, "rekey", "--shares", "2", "--threshold", "2")[1]["status"]["purpose"] == "rekey"
        fresh = tuple(given(colony, "unseal", lines=shares[1:])[1]["shares"])
        assert given(colony, "unseal", lines=fresh)[1]["status"]["shares"] == 2
        assert given(colony, "seal")[1]["sealed"]
        assert given(colony, "unseal", lines=shares[:1])[1]["error"]["code"] == "seal_share_wrong"
        assert not given(colony, "unseal", lines=fresh)[1]["status"]["sealed"]
        assert secret(colony, "get_secret", name="k")["value"] == "value-of-k"
        told = json.dumps(connect(colony.data).call("mads.grace.list_records", {"limit": 500}))
        assert {"share_given", "vault_unsealed", "seal_made", "vault_closed", "unseal_refused"} <= set(told.split('"'))
    everything = told.encode() + b"".join(file.read_bytes() for file in _files(colony.data.parent))
    for share in shares + fresh:
        assert share[20:60].encode() not in everything


def test_a_passphrase_by_standard_input(start_colony: StartColony, given: Given) -> None:
    """A colony that kept its key in a file is sealed with a passphrase: its secrets stay, its file goes, a wrong
    passphrase says so, and no passphrase is written anywhere."""
    words = ("a passphrase of several words", "another of several words")
    with start_colony() as colony:
        assert secret(colony, "set_secret", name="k", value="value-of-k")["version"] == 1
        code, said = given(colony, "init")
        assert (code, said["error"]["code"]) == (2, "arguments_invalid")
    with start_colony(settings="vault: {seal: passphrase}\n") as colony:
        assert given(colony, "init", lines=("short",))[1]["error"]["code"] == "seal_arguments"
        assert given(colony, "init", lines=words[:1])[0] == 0
        assert not (colony.data / "master.key").exists()
        assert secret(colony, "get_secret", name="k")["value"] == "value-of-k"
        assert given(colony, "rekey", lines=words)[0] == 0
        given(colony, "seal")
        code, said = given(colony, "unseal", lines=words[:1])
        assert (code, said["error"]["code"]) == (4, "seal_passphrase_wrong")
        assert given(colony, "unseal", lines=words[1:])[0] == 0
        assert secret(colony, "get_secret", name="k")["value"] == "value-of-k"
    everything = b"".join(file.read_bytes() for file in _files(colony.data.parent))
    assert not [word for word in words if word.encode() in everything]


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]
