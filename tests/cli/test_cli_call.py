"""`cenoby call`: how what is typed becomes arguments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RunningColony


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("value=1234", "1234"),
        ("value=true", "true"),
        ("value=1e3", "1e3"),
        ("value=[1]", "[1]"),
        ('value="1234"', "1234"),
        ("value=one=two", "one=two"),
        ('{"value": "12"}', "12"),
    ],
)
@pytest.mark.parametrize("tool", ["mads.turing.set_secret", "mads__turing__set_secret"])
def test_a_tool_that_wants_text_gets_text(colony: RunningColony, tool: str, typed: str, stored: str) -> None:
    """A value that happens to be JSON arrives as it was typed, by either name of the tool; JSON texts still may be
    given."""
    colony.cenoby("call", tool, "name=test/typed", typed)
    read = colony.cenoby("call", "mads.turing.get_secret", "name=test/typed")
    assert json.loads(read.stdout)["value"] == stored


def test_other_values_are_json(colony: RunningColony) -> None:
    """Numbers, truth values and null arrive as what they are where the tool wants them, and null in place of a text
    that may be left out."""
    for pair in ("newest_first=false", "agent=null", "limit=1"):
        assert colony.cenoby("call", "mads.grace.list_records", pair).returncode == 0
    refused = colony.cenoby("call", "mads.grace.list_records", "limit=many", check=False)
    assert refused.returncode == 2


def test_a_tool_that_is_not_there_is_the_colonys_to_refuse(colony: RunningColony) -> None:
    """Where there is no schema to look at, the call is made, and its answer is what the command says."""
    refused = colony.cenoby("call", "mads.turing.nothing", "value=1234", check=False)
    assert refused.returncode == 2
    assert "mads.turing.nothing" in refused.stderr


def test_a_file_that_cannot_be_read_is_bad_input(colony: RunningColony, tmp_path: Path) -> None:
    """Not there, a directory, or no text: exit code 2, and one line that names the file; a good one is used."""
    binary = tmp_path / "binary"
    binary.write_bytes(b'{"limit": "\xff"}')
    for path in (tmp_path / "nothing", tmp_path, binary):
        refused = colony.cenoby("call", "mads.grace.list_records", f"@{path}", check=False)
        assert refused.returncode == 2, refused.stderr
        assert f"@{path}" in refused.stderr
        assert "[arguments_unreadable]" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    good = tmp_path / "good.json"
    good.write_text('{"limit": 1}')
    assert len(json.loads(colony.cenoby("call", "mads.grace.list_records", f"@{good}").stdout)["records"]) == 1
