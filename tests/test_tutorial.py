"""The tutorial, block by block, as a reader would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

TUTORIAL = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.M | re.S)


def shell(script: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_every_block_of_the_tutorial_works_as_printed(tmp_path: Path) -> None:
    """Files are saved, the colony started, commands run in order; a block marked `fails=N` ends with that exit code."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CENOBY_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    background: list[subprocess.Popen[bytes]] = []
    exports, outputs = "", ""
    try:
        for language, marks, text in BLOCK.findall(TUTORIAL.read_text()):
            file = re.search(r"file=(\S+)", marks)
            if file:
                (tmp_path / file.group(1)).write_text(text)
            elif language == "sh" and "background" in marks:
                background.append(subprocess.Popen(["sh", "-c", f"exec {text}"], cwd=tmp_path, env=environment))
                end = time.monotonic() + 30
                while not (tmp_path / "data" / "colony.json").exists() and time.monotonic() < end:
                    time.sleep(0.05)
            elif language == "sh":
                wanted = re.search(r"fails=(\d+)", marks)
                done = shell(exports + text, tmp_path, environment)
                assert done.returncode == (int(wanted.group(1)) if wanted else 0), done.stdout + done.stderr
                outputs += done.stdout + done.stderr
                exports += "".join(line + "\n" for line in text.splitlines() if line.startswith("export "))
    finally:
        for process in background:
            process.terminate()
            process.wait(30)
    assert '{"notes":["me: buy bread"],"total":1}' in outputs
    assert "action_not_allowed" in outputs
    assert "mistaken.py:" in outputs
    done = shell("python -m pytest -q -o asyncio_mode=auto test_keeper.py", tmp_path, environment)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
