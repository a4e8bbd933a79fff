"""The documents say what is there."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from cenoby.cli.main import app

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
FRONT_MATTER = {"id": int, "title": str, "status": str, "date": date, "supersedes": list, "measured": bool}


def test_decisions_have_typed_front_matter_and_the_sections_of_madr() -> None:
    """Each ADR has the same keys with the right types, its number in its file name, and the three sections."""
    files = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert files
    for file in files:
        _, head, body = file.read_text().split("---\n", 2)
        values: dict[str, Any] = yaml.safe_load(head)
        assert {key: type(value) for key, value in values.items()} == FRONT_MATTER, file.name
        assert file.name.startswith(f"{values['id']:04d}-")
        assert values["status"] in {"proposed", "accepted", "superseded", "rejected"}
        for section in ("## Context", "## Decision", "## Consequences"):
            assert section in body, f"{file.name}: {section}"


def test_every_pinned_dependency_has_its_line() -> None:
    """A runtime dependency without a line in docs/dependencies.md fails."""
    text = (ROOT / "docs" / "dependencies.md").read_text()
    pinned = re.findall(r'^    "([a-z0-9-]+)==', (ROOT / "pyproject.toml").read_text(), re.M)
    assert [name for name in pinned if not re.search(rf"\b{name}\b", text)] == []


def test_every_command_is_in_the_readme_or_the_tutorial() -> None:
    """A command that nobody is told of does not exist."""
    text = README + (ROOT / "docs" / "tutorial.md").read_text()
    names = [name for name in app if not name.startswith("-")]
    assert len(names) > 8
    assert [name for name in names if not re.search(rf"cenoby {name}\b", text)] == []


def test_files_named_in_the_readme_exist() -> None:
    """Every path in the picture of one call, and every link, leads somewhere."""
    paths = re.findall(r"\b((?:gateway|colony|bus|store)/[a-z_]+\.py)", README)
    assert len(paths) >= 6
    assert [path for path in paths if not (ROOT / "src" / "cenoby" / path).exists()] == []
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert [link for link in links if not (ROOT / link).exists() and link != "docs/measurements.md"] == []
