"""`cenoby doctor`: what it finds, and what it tells to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import RunningColony


def doctor(data: Path, *prefix: str, **environment: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Exit code, findings by what was looked at, and the same as text."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CENOBY_")} | environment
    command = [*prefix, sys.executable, "-m", "cenoby.cli.main", "doctor", "--data", str(data)]
    shown = [
        subprocess.run([*command, *more], capture_output=True, text=True, check=False, env=kept, timeout=60)
        for more in (["--json"], [])
    ]
    assert shown[0].returncode == shown[1].returncode
    findings = {one["what"]: one for one in json.loads(shown[0].stdout)["findings"]}
    return shown[0].returncode, findings, shown[1].stdout


def test_only_what_is_not_well_has_a_remedy(tmp_path: Path) -> None:
    """Others can read the data directory: that line says what to run, and no other does."""
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o755)
    code, findings, text = doctor(data, CENOBY_LISTEN="127.0.0.1:0")
    assert code == 1
    assert findings["data directory"]["mend"] == f"chmod 700 {data}"
    assert {name: one["mend"] for name, one in findings.items() if one["well"] and one["mend"]} == {}
    lines = [line.split("\t") for line in text.splitlines()[1:]]
    assert {line[0]: bool(line[3]) for line in lines} == {"ok": False, "MEND": True}


def test_the_sandbox_is_described_as_status_describes_it(colony: RunningColony, tmp_path: Path) -> None:
    """The same words for the same thing; the user id differs with each process."""
    found = doctor(tmp_path)[1]["sandbox"]["found"]
    said = json.loads(colony.cenoby("status", "--json").stdout)["protections"]
    for name in ("process limits", "privileges", "landlock", "seccomp"):
        assert f"{name} {said[f'sandbox {name}']}" in found.split("; ")
    assert "None" not in found
    assert "True" not in found


def test_a_sandbox_that_does_not_start_is_a_finding(tmp_path: Path, needs: Callable[[str], str]) -> None:
    """Where a cell cannot have what the settings require, the line says why, and the findings after it still come."""
    prefix = [] if os.geteuid() else [needs("setpriv"), "--bounding-set=-setuid", "--inh-caps=-setuid"]
    code, findings, _ = doctor(tmp_path, *prefix, CENOBY_SANDBOX__REQUIRE='["uid"]')
    assert code == 1
    assert not findings["sandbox"]["well"]
    assert findings["sandbox"]["found"]
    assert "sandbox.require" in findings["sandbox"]["mend"]
    assert findings["telemetry"]["well"]
