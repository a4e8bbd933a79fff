"""`./dev bench NAME [--json]`."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "gateway",
    "journal",
    "load",
    "start",
    "rogers",
    "bus",
    "workflow",
    "cache",
    "monolith",
    "detectors",
    "content",
    "kill",
    "rule",
    "policy",
    "verifier",
)


def main(arguments: list[str]) -> int:
    names = [one for one in arguments if not one.startswith("-")]
    if len(names) != 1 or names[0] not in NAMES:
        print(f"usage: ./dev bench {'|'.join(NAMES)} [--json]", file=sys.stderr)
        return 2
    return importlib.import_module(f"bench.{names[0]}").main("--json" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
