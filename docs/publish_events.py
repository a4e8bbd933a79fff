"""`./dev events [--check]`: publishes the shapes of new events and versions; what is published never changes."""

from __future__ import annotations

import sys
from pathlib import Path

from cenoby.app import event_schema

FILE = Path(event_schema.__file__).with_name(event_schema.FILE)


def main(arguments: list[str]) -> int:
    known = event_schema.published()
    present = event_schema.shapes()
    problems, new = event_schema.broken_promises(known, present), event_schema.unpublished(known, present)
    if "--check" in arguments:
        problems += [f"{tag} is not published; run ./dev events." for tag in new]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    if new:
        FILE.write_text(event_schema.published_text(known | {tag: present[tag] for tag in new}))
        print(f"published: {', '.join(new)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
