"""MADs that somebody else wrote: what is wrong with them is said with code, file and line."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from cenoby.app.composition import open_colony
from cenoby.app.mad_loading import MadUnknown, load_mad_class
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings_file import load_settings

HEAD = """\
import asyncio
from cenoby.colony.mad import Mad
from cenoby.colony.tool import ToolContent, tool

"""
LINES = HEAD.count("\n")
TOOL = """\
class Keeper(Mad):
    name = "keeper"

    @tool("docs:write", effect="writes")
    async def add_note(self, call, text: str) -> ToolContent:
        return ToolContent([])
"""


def keeper(folder: Path, text: str) -> str:
    file = folder / "keeper.py"
    file.write_text(HEAD + textwrap.dedent(text))
    return f"{file}:Keeper"


async def host(folder: Path, *mads: str) -> None:
    overrides = {"data": folder / "data", "mads": list(mads), "telemetry": {"log_level": "error"}}
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()):
        pass


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (TOOL.replace("docs:write", "dogs:write"), 4, "action type 'dogs:write' is not registered; did you mean"),
        ("raise SystemExit(3)", 1, "SystemExit: 3"),
        ("import there_is_no_such_module", 1, "No module named 'there_is_no_such_module'"),
        ("class Keeper(Mad:\n    pass", 1, "SyntaxError"),
        ("asyncio.run(3)", 1, "a coroutine was expected"),
        ("def inner():\n    return undefined\n\n\ninner()", 2, "NameError: name 'undefined' is not defined"),
        ("class Keeper(Mad):\n    pass", 1, "needs a name"),
    ],
)
def test_what_a_mad_raises_while_it_is_imported_is_told_with_the_line(
    tmp_path: Path, text: str, line: int, says: str
) -> None:
    """An undeclared action, an exit, a missing import, a typo and a class without name: `mad_invalid`, file:line."""
    with pytest.raises(MadUnknown) as caught:
        load_mad_class(keeper(tmp_path, text))
    assert caught.value.code == "mad_invalid"
    assert says in caught.value.message
    assert f"{tmp_path / 'keeper.py'}:{LINES + line}" in caught.value.message


@pytest.mark.parametrize(
    ("more", "line", "says"),
    [
        ("    def __init__(self):\n        self.x = self.y\n", 8, "no attribute 'y'"),
        ("    async def start(self):\n        raise OSError('disk')\n", 8, "OSError: disk"),
        (
            "    @tool('docs:write', effect='reads')\n    async def BadName(self, call) -> ToolContent: ...\n",
            1,
            "lower",
        ),
        (
            "    @tool('docs:write', effect='reads')\n    async def a(self, call, b: None.c) -> ToolContent: ...\n",
            8,
            "'c'",
        ),
        (
            "    @tool('docs:write', effect='reads')\n    async def a(self, call, b: 'No') -> ToolContent: ...\n",
            1,
            "'No'",
        ),
    ],
)
async def test_what_a_mad_raises_while_it_is_hosted_is_told_with_the_line(
    tmp_path: Path, more: str, line: int, says: str
) -> None:
    """Making it, starting it, publishing its tools: `mad_invalid`; the class's line where none of its own raised."""
    with pytest.raises(MadUnknown) as caught:
        await host(tmp_path, keeper(tmp_path, TOOL + more))
    assert caught.value.code == "mad_invalid"
    assert says in caught.value.message
    assert f"{tmp_path / 'keeper.py'}:{LINES + line}" in caught.value.message


async def test_a_mad_named_twice_is_invalid(tmp_path: Path) -> None:
    """The second of one name is refused with a code, not with a traceback."""
    with pytest.raises(MadUnknown, match="hosted already") as caught:
        await host(tmp_path, "rogers", "rogers")
    assert caught.value.code == "mad_invalid"


@pytest.mark.parametrize(
    "name", ["nobody", "no.such.module:Keeper", "nowhere.py:Keeper", "json:Keeper", "json:loads", "../x:Keeper", ":K"]
)
def test_what_is_not_there_is_unknown(name: str) -> None:
    """No file, module, entry point or class of that name, or no MAD: `mad_unknown`."""
    with pytest.raises(MadUnknown) as caught:
        load_mad_class(name)
    assert caught.value.code == "mad_unknown"


async def test_a_file_is_found_beside_the_settings_that_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`keeper.py:Keeper` in a settings file works from everywhere; in a variable it is relative to where one is."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    keeper(home, TOOL)
    (home / "cenoby.yaml").write_text('mads: [rogers, "keeper.py:Keeper", "sub/../keeper.py:Keeper", "a.b:C"]\n')
    monkeypatch.chdir(elsewhere)
    settings = load_settings(home / "cenoby.yaml", {})
    assert (settings.mads[0], settings.mads[3]) == ("rogers", "a.b:C")
    assert load_mad_class(settings.mads[1]).name == "keeper"
    monkeypatch.chdir(home)
    assert load_mad_class(load_settings(Path("cenoby.yaml"), {}).mads[1]).name == "keeper"
    assert load_settings(environment={"CENOBY_MADS": "['keeper.py:Keeper']"}).mads == ["keeper.py:Keeper"]
