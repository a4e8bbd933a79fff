"""Settings: file, environment, command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cenoby.kernel.settings import Settings
from cenoby.kernel.settings_file import SettingsError, load_settings, settings_schema


def write(folder: Path, text: str) -> Path:
    file = folder / "cenoby.yaml"
    file.write_text(text)
    return file


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    """Three sources say different things; the nearest to the user is in force."""
    file = write(tmp_path, "listen: 127.0.0.1:1\ncolony: filed\nlimits: {burst: 7}\n")
    environment = {"CENOBY_LISTEN": "127.0.0.1:2", "CENOBY_LIMITS__BURST": "8"}
    settings = load_settings(file, environment, {"listen": "127.0.0.1:3", "colony": None})
    assert (settings.listen, settings.colony, settings.limits.burst) == ("127.0.0.1:3", "filed", 8)


def test_lists_and_objects_come_from_the_environment_as_yaml() -> None:
    """A list in a variable is read as YAML."""
    settings = load_settings(environment={"CENOBY_EGRESS__ALLOW": "['127.0.0.1:9', 'host:80']"})
    assert settings.egress.allow == ["127.0.0.1:9", "host:80"]


def test_a_misspelt_key_is_an_error_that_names_the_likely_one(tmp_path: Path) -> None:
    """An unknown key names its place and what was probably meant."""
    with pytest.raises(SettingsError, match=r"gateway\.max_inflihgt, did you mean max_inflight\?"):
        load_settings(write(tmp_path, "gateway: {max_inflihgt: 3}"), {})


def test_an_unknown_variable_is_an_error_too() -> None:
    """A CENOBY_ variable that sets nothing does not pass unnoticed."""
    with pytest.raises(SettingsError, match="lisen, did you mean listen"):
        load_settings(environment={"CENOBY_LISEN": "127.0.0.1:1"})


@pytest.mark.parametrize("text", ["[1, 2]", "listen: [", "listen: nowhere", "limits: {burst: 0}", "limits: 3"])
def test_what_does_not_fit_is_an_error(tmp_path: Path, text: str) -> None:
    """Wrong YAML, wrong shapes and wrong values are refused with a message, not a traceback."""
    with pytest.raises(SettingsError):
        load_settings(write(tmp_path, text), {})


def test_the_schema_describes_every_key() -> None:
    """Each property of the schema has a description, so that an editor can show it."""
    schema = settings_schema()
    for name, part in [("Settings", schema), *schema["$defs"].items()]:
        for key, value in part["properties"].items():
            assert value.get("description") or "$ref" in value, f"{name}.{key}"


def test_a_process_is_the_first_node_of_its_colony_unless_told() -> None:
    """Without a name the node is `<colony>-1`; a name is what an identifier in the journal may be."""
    assert Settings(colony="north").node_name == "north-1"
    assert Settings(colony="north", node="north-b").node_name == "north-b"
    with pytest.raises(ValueError, match="node"):
        Settings(node="a b'; DROP")
