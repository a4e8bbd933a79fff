"""The AgentDojo package, without the model clients that it depends on: installed once from a hash-pinned lock."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent.parent
_FOLDER = _ROOT / ".redteam-lib"
_LOCK = _ROOT / "requirements" / "redteam.txt"
VERSION = "v1.2.2"
"""The benchmark's version: the newest suites of the package."""


@cache
def suites() -> dict[str, Any]:
    """AgentDojo's task suites by name."""
    _install()
    sys.path.append(str(_FOLDER))
    # These two packages import every provider's client when they are imported; the replay needs modules beside them.
    for name in ("agentdojo.agent_pipeline", "agentdojo.agent_pipeline.llms"):
        hollow = ModuleType(name)
        hollow.__path__ = [str(_FOLDER / name.replace(".", "/"))]
        sys.modules[name] = hollow
    google = ModuleType("agentdojo.agent_pipeline.llms.google_llm")
    google.EMPTY_FUNCTION_NAME = "<empty-function>"  # type: ignore[attr-defined]
    sys.modules[google.__name__] = google
    import email_validator  # type: ignore[import-not-found]
    from agentdojo.task_suite.load_suites import get_suites  # type: ignore[import-not-found]

    # Each environment holds the same two hundred addresses, and to check them takes longer than to make all the rest.
    email_validator.validate_email = cache(email_validator.validate_email)
    return dict(get_suites(VERSION))


def _install() -> None:
    stamp = _FOLDER / ".stamp"
    if stamp.exists() and stamp.stat().st_mtime >= _LOCK.stat().st_mtime:
        return
    print("redteam: installing AgentDojo into .redteam-lib (once)", file=sys.stderr)
    pip = [sys.executable, "-m", "pip", "install", "-qqq", "--disable-pip-version-check", "--no-deps", "--upgrade"]
    subprocess.run([*pip, "--require-hashes", "--target", str(_FOLDER), "-r", str(_LOCK)], check=True)
    stamp.touch()
