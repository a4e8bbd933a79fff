"""The settings of versioned APIs: those that a colony publishes, and the colonies whose APIs it uses."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cenoby.kernel.settings_section import Count, Section

Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=30)]


class PublishedToolSettings(Section):
    """A tool behind a published one, and how the arguments of the published one become its."""

    tool: str
    """Canonical name, e.g. `mads.rogers.post_message`."""
    rename: dict[str, str] = {}
    """Published argument: the tool's own name for it."""
    fill: dict[str, Any] = {}
    """Arguments of the tool that the published one does not have, and their values."""


class PublishSettings(Section):
    """One major version of an API; its tools are `mads.<name>_v<version>.<tool>`."""

    name: Word
    """Name of the API."""
    version: Count
    """Its major version; a change that breaks callers is a new one, served beside the old."""
    tools: Annotated[dict[Word, str | PublishedToolSettings], Field(min_length=1)]
    """Published tools: the canonical name of the tool behind each, or that with `rename` and `fill`."""
    events: list[str] = []
    """Events that belong to it, by name, e.g. `conversation_created`."""
    until: date | None = None
    """Last day (UTC) on which it is served; without end where null."""


class ContractSettings(Section):
    """One API of another colony that this one uses."""

    api: Word
    """Name of the API there."""
    version: Count
    """Its major version."""
    document: Path
    """What it published, as `cenoby api schema` printed it; beside the settings file."""
    usd_per_call: Annotated[float, Field(ge=0)] | None = None
    """Reserved from the caller's budget here for a call of a tool that has a price there."""


class ColonySettings(Section):
    """Another colony; its tools are `mads.<colony>.<api>_v<version>_<tool>`."""

    url: str
    """Its MCP endpoint, e.g. `https://host/mcp`; inside addresses need `egress.allow`."""
    token: str
    """Name of the secret that holds our token there (kept by Turing, best with colony_only)."""
    action: str = "tool:call"
    """Action type that policy here decides on."""
    uses: Annotated[list[ContractSettings], Field(min_length=1)]
    """What of it is used."""
