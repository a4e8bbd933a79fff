"""Autonomy: what an agent may do without asking a person, by one of four levels.

A level is the agent's own, else its department's, else the company's. Two things hold it down, whatever was set: an
agent's seniority, and a hold, which the colony puts on an agent whose conduct gave reason to. A level only ever asks:
what policy or a security rule denies stays denied at every level. People have none; they are who is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from cenoby.access.actions import RiskTier
from cenoby.access.principals import Principal
from cenoby.access.verdicts import Ask
from cenoby.kernel.settings_autonomy import AutonomySettings


class Level(IntEnum):
    """How much an agent may do unasked; the smaller is the stricter."""

    LOCKED = 0
    SUPERVISED = 1
    SEMI = 2
    FULL = 3

    def __str__(self) -> str:
        return self.name.lower()


Scope = Literal["agent", "department", "company", "held"]
"""Whose level a row says; `held` is a level above which an agent does not come until a person raises it."""

RAISE = "autonomy:raise"
"""The action type of setting a level."""

# Without these reads an agent could not find its tools, nor read the conversation in which it may speak.
_READS = frozenset({"colony:read", "comms:read", "memory:read"})
_PASSES: Mapping[Level, frozenset[str]] = {
    Level.SEMI: _READS | {"code", "test", "docs", "vcs", "comms:internal", "db:query"},
    Level.SUPERVISED: _READS | {"code:read", "vcs:read", "test:run", "db:query"},
    Level.LOCKED: frozenset(),
}
_ASKS_FROM = RiskTier.HIGH
"""The tier from which every level but `full` asks, also within what it lets pass: vcs passes in semi, vcs:push asks."""
_CEILINGS: Mapping[str, Level] = {"junior": Level.SEMI}
"""The highest level by seniority."""


class LevelRow(msgspec.Struct, frozen=True):
    """A level that was set.

    Attributes:
        tenant: for whose agents.
        scope, name: whose level; the name is empty for the company.
        level: the level.
        reason: why; who is asked is told.
        set_by, set_ns: who set it, and when, Unix nanoseconds.
    """

    tenant: str
    scope: Scope
    name: str
    level: Level
    reason: str
    set_by: str
    set_ns: int


Key = tuple[str, str, str]
Rows = Mapping[Key, LevelRow]


class Subject(NamedTuple):
    """What of an agent its level depends on.

    Attributes:
        own: the level that it was registered with, empty for none. It holds the agent below its department's, and
            never lifts it above, because a level is raised by a person and not by registering.
    """

    tenant: str
    agent: str
    department: str
    seniority: str
    own: str


class Standing(NamedTuple):
    """The level in force, and what decided it: agent, department, company, registration, seniority or held."""

    level: Level
    by: str


def subject_of(principal: Principal) -> Subject:
    """What of a principal its level depends on."""
    return Subject(principal.tenant, principal.agent, principal.department, principal.seniority, principal.autonomy)


def standing_of(subject: Subject, rows: Rows, settings: AutonomySettings) -> Standing:
    """The level in force for an agent."""
    tenant, agent, department, seniority, own = subject
    row = rows.get((tenant, "agent", agent))
    if row is not None:
        level, by = row.level, "agent"
    else:
        level, by = department_standing(tenant, department, rows, settings)
        if own and (registered := Level[own.upper()]) < level:
            level, by = registered, "registration"
    ceiling = _CEILINGS.get(seniority, Level.FULL)
    if level > ceiling:
        level, by = ceiling, "seniority"
    held = rows.get((tenant, "held", agent))
    return Standing(held.level, "held") if held is not None and held.level < level else Standing(level, by)


def department_standing(tenant: str, department: str, rows: Rows, settings: AutonomySettings) -> Standing:
    """The level of a department, or the company's where it has none."""
    if department:
        row = rows.get((tenant, "department", department))
        named = row.level if row is not None else _named(settings.departments.get(department))
        if named is not None:
            return Standing(named, "department")
    row = rows.get((tenant, "company", ""))
    return Standing(row.level if row is not None else Level[settings.company.upper()], "company")


def ceiling_of(seniority: str) -> Level:
    """The highest level that an agent of this seniority comes to."""
    return _CEILINGS.get(seniority, Level.FULL)


@lru_cache(maxsize=4096)
def ask_of(standing: Standing, action: str, risk: RiskTier) -> Ask | None:
    """Why a call of this action type and tier needs a person at this level, if it does.

    Throwing a kill switch waits for nobody, except where the agent is locked.
    """
    level, by = standing
    if level is Level.FULL or (action == "kill:switch" and level is not Level.LOCKED):
        return None
    passes = _PASSES[level]
    listed = action in passes or action.partition(":")[0] in passes
    if listed and risk < _ASKS_FROM:
        return None
    why = f"{action} of risk {risk}" if listed else action
    return Ask(f"autonomy:{level}", f"the agent's autonomy is {level} ({_WORDS[by]}), which leaves {why} to a person")


_WORDS = {
    "agent": "its own level",
    "department": "its department's",
    "company": "the company's",
    "registration": "as it was registered",
    "seniority": "its seniority allows no more",
    "held": "the colony lowered it",
}


def _named(name: str | None) -> Level | None:
    return None if name is None else Level[name.upper()]
