"""What an operator and a reviewer do, with the real commands on a real colony."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.conftest import RunningColony
from tests.evidence.slices import VERIFIER_FILE


def review(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The stand-alone verifier, isolated from everything of ours."""
    command = [sys.executable, "-I", str(VERIFIER_FILE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_from_a_call_to_a_proof_in_a_reviewers_hand(
    start_colony: Callable[..., AbstractContextManager[RunningColony]], tmp_path: Path
) -> None:
    """A checkpoint is taken away and published, the colony is stopped and started, a slice, a record and the log's
    consistency are exported, and the verifier believes them with the key and the checkpoint that were kept."""
    mounted = tmp_path / "mounted"
    settings = f"evidence: {{publish: [{{name: elsewhere, file: {mounted}}}]}}\n"
    kept, whole, one, log = (tmp_path / name for name in ("kept.txt", "whole.json", "one.json", "log.json"))
    with start_colony(settings=settings) as colony:
        colony.cenoby("tools")
        kept.write_text(colony.cenoby("evidence", "checkpoint").stdout)
        key = colony.cenoby("evidence", "key").stdout.strip()
        published = json.loads(colony.cenoby("evidence", "publish", "--json").stdout)
        assert published["destinations"][0]["problem"] == ""
        assert mounted.read_text() == published["checkpoint"]
        colony.cenoby("evidence", "key", "--new")
        assert colony.stop() == 0
    with start_colony(settings=settings) as colony:
        colony.cenoby("call", "mads.grace.list_agents")
        colony.cenoby("evidence", "checkpoint")
        status = json.loads(colony.cenoby("evidence", "status", "--json").stdout)
        assert len(status["keys"]) == 2
        assert status["keys"][1] == key
        colony.cenoby("evidence", "export", "--checkpoint", str(kept), "--out", str(whole))
        said = review("--key", key, "--checkpoint", str(kept), "--complete", str(whole))
        assert said.returncode == 0, said.stdout
        found = json.loads(said.stdout)
        assert found["records"] == found["size"] == status["signed"]
        record = json.loads(whole.read_text())["records"][-1]["header"][2]
    # What only reads does not need the colony.
    for command, file in ((("prove", record), one), (("consistency", str(kept)), log)):
        colony.cenoby("evidence", *command, "--out", str(file))
        assert review("--key", key, str(file)).returncode == 0
    assert json.loads(review("--key", key, str(one)).stdout)["records"] == 1
    assert review("--key", key, "--checkpoint", str(kept), str(log)).returncode == 0
    bent = whole.read_text().replace("list_agents", "list_agentz", 1)
    whole.write_text(bent)
    assert review("--key", key, str(whole)).returncode == 1
