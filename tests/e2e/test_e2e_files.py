"""Files that callers attach and tools give back, in a real colony: what may not pass is refused and journalled."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.conftest import RunningColony
from tests.protection.test_files_checker import PROGRAM, pdf, png

StartColony = Callable[..., AbstractContextManager[RunningColony]]
DESK = '''
import base64
from typing import Any, ClassVar
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.tool import ToolContent, tool

class Desk(Mad):
    """Takes and gives files."""
    name: ClassVar[str] = "desk"
    summary: ClassVar[str] = "Takes and gives files."

    @tool(action="test:run", effect="reads")
    async def take(self, call: Call, file: dict[str, Any]) -> dict[str, int]:
        """Take a file."""
        return {"characters": len(file["blob"])}

    @tool(action="test:run", effect="reads")
    async def give(self, call: Call, what: str, kind: str) -> ToolContent:
        """Give a picture, or a program."""
        body = {"picture": b"GIF89a" + bytes(20), "program": b"\\x7fELF" + bytes(20)}[what]
        return ToolContent([{"type": "image", "data": base64.b64encode(body).decode(), "mimeType": kind}])
'''


def test_files_are_checked_on_the_way_in_and_out(start_colony: StartColony, tmp_path: Path) -> None:
    """A picture goes in and out; a program that says it is one does neither, a document with a script does not, and
    what is no base64 does not; each is in the journal, by digest and without its content."""
    (tmp_path / "desk.py").write_text(DESK)
    with start_colony(settings="mads: [grace, desk.py:Desk]\n") as colony:
        token = colony.token("ada", "developer")

        def called(tool: str, **arguments: Any) -> dict[str, Any]:
            text = json.dumps(arguments)
            return json.loads(colony.cenoby("call", tool, text, "--json", token=token, check=False).stdout)

        def taken(body: bytes, kind: str) -> dict[str, Any]:
            blob = base64.b64encode(body).decode()
            return called("mads.desk.take", file={"name": "a", "mimeType": kind, "blob": blob})

        def given(what: str, kind: str) -> Any:
            return called("mads.desk.give", what=what, kind=kind)

        assert "error" not in taken(png(), "image/png")
        assert "error" not in given("picture", "image/gif")
        refused = [
            taken(PROGRAM, "image/png"),
            taken(pdf(script=True), "application/pdf"),
            called("mads.desk.take", file={"blob": "no base64!"}),
            given("program", "image/gif"),
            given("picture", "image/png"),
        ]
        codes = [one["error"]["code"] for one in refused]
        assert codes == ["file_type", "file_active", "file_unreadable", "file_type", "file_claim"]
        assert {one["error"]["family"] for one in refused} == {"refused"}

        tail = colony.cenoby("journal", "tail", "-n", "500", "--json").stdout.splitlines()
        events = [one for one in map(json.loads, tail) if one["code"] == "file_refused"]
        told = [json.loads(colony.cenoby("journal", "show", one["id"], "--json").stdout)["payload"] for one in events]
    assert [one["code"] for one in told] == codes
    assert [one["direction"] for one in told] == ["arguments"] * 3 + ["results"] * 2
    assert (told[0]["kind"], told[0]["size"], len(told[0]["sha256"])) == ("application/x-executable", 64, 64)
    assert base64.b64encode(PROGRAM).decode() not in json.dumps(told)
