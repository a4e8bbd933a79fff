"""The settings of the security rules: which are in force, what becomes of marked results, who judges the rest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cenoby.kernel.settings_section import Count, Section

Mode = Literal["active", "shadow", "disabled"]
"""A set of rules decides, is journalled and decides nothing, or does not look at all."""
ResultPolicy = Literal["redact", "withhold", "log"]
"""What becomes of a result with marks: the marks are cut out, nothing of it is given back, or it is only journalled."""


class RuleSetSettings(Section):
    """The mode of each set of rules."""

    credentials: Mode = "active"
    """Keys, tokens and passwords in arguments that are not declared sensitive."""
    paths: Mode = "active"
    """Paths that lead out of where they should stay, and places of the system."""
    destructive: Mode = "active"
    """Commands and statements that destroy what nobody gets back."""
    leaks: Mode = "active"
    """Places where secrets lie, and cards and national ids on their way outside."""
    egress: Mode = "active"
    """Addresses inside the machine and its network, in URLs."""
    injection: Mode = "active"
    """Instructions to a model in results, and in descriptions of foreign tools."""


class ResultSettings(Section):
    """What becomes of results in which somebody speaks to the model."""

    outside: ResultPolicy = "redact"
    """Results of tools that act outside the colony, other colonies' included."""
    inside: ResultPolicy = "log"
    """Results of all other tools."""


class JudgeSettings(Section):
    """A model that is asked about calls of which the rules are in doubt; without models none is asked."""

    models: list[str] = []
    """Names of the settings' `models`, best first; one of another provider family than the actor's model is asked."""
    actors: dict[str, str] = {}
    """The provider family, or the name of one of the settings' `models`, behind an agent, where it is known."""
    timeout: Annotated[float, Field(gt=0, le=60)] = 10.0
    """Seconds for an answer; later a person decides."""
    max_output_tokens: Count = 2_000
    """Most tokens of one answer."""
    usd_per_day: Annotated[float, Field(ge=0)] = 1.0
    """What all its answers may cost on a UTC day; when it is spent, a person decides."""


class RuleSettings(Section):
    """Security rules before every call, and a look at every result."""

    sets: RuleSetSettings = RuleSetSettings()
    results: ResultSettings = ResultSettings()
    roots: list[Annotated[str, Field(pattern=r"^(/|[A-Za-z]:)")]] = []
    """Directories in which absolute paths may lie; without any, only those of the system are refused."""
    decode_depth: Annotated[int, Field(ge=0, le=5)] = 3
    """How many layers of base64, hexadecimal and percent encoding are taken off before the rules look."""
    pin_mads: list[str] = []
    """MADs whose tools are pinned like those of other colonies, e.g. of a node or a package that others maintain."""
    judge: JudgeSettings = JudgeSettings()
