"""The settings of autonomy: what agents may do without asking a person, where nobody has set it otherwise."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cenoby.kernel.settings_section import Count, Seconds, Section

LevelName = Literal["locked", "supervised", "semi", "full"]
"""An autonomy level, strictest first."""


class LowerSettings(Section):
    """What lowers an agent without a person; only a person raises it again."""

    on: bool = False
    """Whether anything does: a broken security rule or a planted text, to `locked`; a spent budget of the agent's own,
    or too many errors, to `supervised`."""
    seconds: Seconds = 600
    """Length of the spans in which calls and errors of an agent are counted."""
    calls: Count = 20
    """Fewest calls in a span from which the share of errors says something."""
    errors: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of an agent's calls that fail in a tool from which it is lowered."""


class AutonomySettings(Section):
    """Levels to begin with; `cenoby autonomy set` changes them for good."""

    company: LevelName = "full"
    """Of every agent whose department has none: `locked`, `supervised`, `semi` or `full`."""
    departments: dict[str, LevelName] = {}
    """Of the agents of a department, by its name."""
    lower: LowerSettings = LowerSettings()
