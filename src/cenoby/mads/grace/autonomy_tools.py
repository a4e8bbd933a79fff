"""Grace's tools for autonomy: what agents may do without asking a person, and a person's change of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from cenoby.access.autonomy.autonomy import RAISE, Level, LevelRow, Subject
from cenoby.access.autonomy.levels import AutonomyLevels
from cenoby.access.roster import AgentInfo
from cenoby.access.tokens import Identities
from cenoby.colony.errors import CallInvalid
from cenoby.colony.host import Host
from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool
from cenoby.kernel.clock import iso_time
from cenoby.kernel.envelope import DEFAULT_TENANT, Priority
from cenoby.kernel.settings_autonomy import LevelName
from cenoby.mads.grace.events import AutonomySet

Whose = Literal["agent", "department", "company"]


@dataclass(frozen=True, slots=True)
class AgentAutonomyView:
    agent: str
    level: str
    """In force: full, semi, supervised or locked."""
    by: str
    """What decided it: agent, department, company, registration, seniority or held."""


@dataclass(frozen=True, slots=True)
class LevelView:
    scope: str
    """agent, department, company, or held: the colony lowered that agent."""
    name: str
    level: str
    reason: str
    set_by: str
    set: str


@dataclass(frozen=True, slots=True)
class AutonomyView:
    company: str
    """Where neither agent nor department has a level."""
    agents: list[AgentAutonomyView]
    levels: list[LevelView]
    """What was set, beside the settings."""


@dataclass(frozen=True, slots=True)
class ChangedView:
    scope: str
    name: str
    was: str
    now: str
    """In force from the next call on."""


class AutonomyTools:
    """The part of Grace that shows and sets levels of autonomy; people have none."""

    _autonomy: AutonomyLevels
    _host: Host
    _identities: Identities

    @tool("colony:read", effect="reads", title="List levels of autonomy", priority=Priority.SYSTEM)
    async def list_autonomy(self, call: Call) -> AutonomyView:
        """Show what agents may do without asking a person: the level of each, what decided it, and what was set."""
        tenant, levels = call.principal.tenant, self._autonomy
        standings = {one.agent: levels.standing(one) for one in self._subjects(tenant)}
        agents = [AgentAutonomyView(name, str(one.level), one.by) for name, one in sorted(standings.items())]
        company = str(levels.standing_at(tenant, "").level)
        return AutonomyView(company, agents, [_view(one) for one in levels.list(tenant)])

    @tool(RAISE, effect="writes", idempotent=True, title="Set a level of autonomy", priority=Priority.SYSTEM)
    async def set_autonomy(
        self,
        call: Call,
        scope: Annotated[Whose, Field(description="Whose level.")],
        level: Annotated[
            LevelName | Literal["inherit"], Field(description="`inherit` takes back the level that was set.")
        ],
        reason: Annotated[str, Field(description="Why; the journal gets it.", min_length=1, max_length=500)],
        name: Annotated[
            str, Field(description="Of the agent or department; empty for the company.", max_length=64)
        ] = "",
        seen: Annotated[
            LevelName | None, Field(description="The level you saw in force; with another by now, nothing is set.")
        ] = None,
    ) -> ChangedView:
        """Set what an agent, a department or the company may do unasked, from the next call on; only a person may."""
        subject = self._subject(call.principal.tenant, scope, name)
        wanted = None if level == "inherit" else Level[level.upper()]
        was_seen = None if seen is None else Level[seen.upper()]
        done = await self._autonomy.set(call.principal, scope, subject, wanted, reason, was_seen)
        changed = ChangedView(scope, name, str(done.was), str(done.now))
        await call.note(
            AutonomySet(scope=scope, name=name, level=level, was=changed.was, now=changed.now, notes=reason)
        )
        return changed

    def _subject(self, tenant: str, scope: Whose, name: str) -> Subject:
        if bool(name) is (scope == "company"):
            raise CallInvalid("arguments_invalid", "An agent and a department have a name, the company has none.")
        if scope != "agent":
            return Subject(tenant, "", name, "", "")
        found = next((one for one in self._subjects(tenant) if one.agent == name), None)
        if found is None:
            raise CallInvalid("arguments_invalid", f"There is no agent {name!r} here; people have no level. Check it.")
        return found

    def _subjects(self, tenant: str) -> list[Subject]:
        known = [one for one in self._identities.list_agents() if one.tenant == tenant and one.kind != "person"]
        # Every MAD acts under its own name, in the colony's own tenant.
        mads = [] if tenant != DEFAULT_TENANT else [Subject(tenant, mad, "", "", "") for mad in self._host.mad_names]
        return [*(_subject_of(one) for one in known), *mads]


def _subject_of(agent: AgentInfo) -> Subject:
    return Subject(agent.tenant, agent.name, agent.department, agent.seniority, agent.autonomy)


def _view(row: LevelRow) -> LevelView:
    return LevelView(row.scope, row.name, str(row.level), row.reason, row.set_by, iso_time(row.set_ns))
