"""`cenoby secret` against a real colony, as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import RunningColony


def keep(colony: RunningColony, name: str, value: str, *more: str) -> dict[str, Any]:
    """Store a secret by the command; the value goes in by standard input."""
    command = [sys.executable, "-m", "cenoby.cli.main", "secret", "set", name, *more, "--json"]
    done = subprocess.run(
        [*command, "--data", str(colony.data)], input=value, capture_output=True, text=True, check=True, env=os.environ
    )
    return json.loads(done.stdout)


def test_a_secret_is_kept_governed_explained_leased_and_destroyed(colony: RunningColony, tmp_path: Path) -> None:
    """Each command does what it says, and a refusal says what part of the policy does not fit."""
    developer = colony.token("sal", "developer")
    permits = tmp_path / "permits.yaml"
    permits.write_text("- who: [role:developer]\n  times: 1\n  per: hour\n- who: [agent:operator]\n")
    assert keep(colony, "e2e/use", "a-value\n", "--policy", str(permits))["version"] == 1
    assert "e2e/use" in colony.cenoby("secret", "list").stdout
    assert colony.cenoby("secret", "get", "e2e/use", token=developer).stdout == "a-value\n"
    refused = colony.cenoby("secret", "get", "e2e/use", token=developer, check=False)
    assert refused.returncode == 4
    assert "[secret_used_up]" in refused.stderr
    explained = colony.cenoby("secret", "explain", "e2e/use", "--agent", "sal", "--to", "x.com:443").stdout
    assert explained.splitlines()[0].split() == ["decision", "deny"]
    assert "role:developer, 1 times a hour" in explained
    lease = {"name": "e2e/use", "lease_seconds": 60}
    colony.cenoby("call", "mads.turing.get_secret", json.dumps(lease), "--token", colony.operator_token)
    assert "e2e/use" in colony.cenoby("secret", "leases").stdout
    assert colony.cenoby("secret", "rotate", "e2e/use").stdout == "e2e/use: version 2\n"
    assert colony.cenoby("secret", "revoke", "e2e/use").stdout == "destroyed version(s) 1, 2 of e2e/use\n"
    assert colony.cenoby("secret", "leases").stdout == ""
    changed = colony.cenoby("secret", "policy", "e2e/use", "--remove", "--reason", "gone").stdout
    assert changed == "no policy: its readers may read it\n"
