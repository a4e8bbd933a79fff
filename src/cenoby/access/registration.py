"""Which agents may be registered, and as what: names, tenants, roles, and the lineage of agents that others made.

An agent that works for another one never has rights that its parent lacks, unless an operator says so. That holds when
it is registered, and goes on holding: where a parent loses a role, its children lose what only that role covered.
"""

from __future__ import annotations

import re
from collections.abc import Container

import msgspec

from cenoby.access import identity_sql as sql
from cenoby.access.identity_sql import Agent
from cenoby.access.principals import Autonomy, Kind, Seniority
from cenoby.access.roles import AccessRefused, RoleTable
from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import DEFAULT_TENANT
from cenoby.store.engine import Connection

MOST_GENERATIONS = 8
"""An agent that was made by an agent that was made ...: so many at most, the first one counted."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LEVELS = ("locked", "supervised", "semi", "full")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of an agent; None leaves it as it is, and at a new agent as `Principal` has it by default.

    Attributes:
        name: its name: lower-case letters, digits, `-`, `_`; at most 63 characters.
        roles: names of roles, sorted; none means those that it has.
        tenant, kind, parent: never change once the agent is there.
        department, seniority: change like roles.
        autonomy: given to a new agent; afterwards only a promotion changes it, or the settings.
        reason: why it is there.
        replace: whether an agent that exists gets these roles, department and seniority instead of its own.
        beyond_parent: whether it may have rights that its parent lacks.
        anew: whether it is just this, whatever it was before; for the operator, who must not be locked out.
    """

    name: str
    roles: tuple[str, ...] = ()
    tenant: str | None = None
    kind: Kind | None = None
    department: str | None = None
    seniority: Seniority | None = None
    autonomy: Autonomy | None = None
    parent: str | None = None
    reason: str | None = None
    replace: bool = False
    beyond_parent: bool = False
    anew: bool = False


class Registration:
    """The rule for new and changed agents. It reads what is on disk, inside the transaction that will write it.

    Args:
        clock: says when an agent was made.
        roles: the roles in force; without them, any name of a role is good.
        reserved: names that no agent from outside gets.
    """

    def __init__(self, clock: Clock, roles: RoleTable | None, reserved: Container[str]) -> None:
        self._clock = clock
        self._roles = roles
        self._reserved = reserved

    def admit(self, connection: Connection, wish: Wish) -> list[Agent]:
        """The agent as it is to be, and after it others that change with it.

        Raises:
            AccessRefused: `agent_invalid`, `role_unknown`, `roles_differ` or `lineage_exceeded`.
        """
        known = sql.read_agent(connection, wish.name)
        agent = self._new(wish) if known is None or wish.anew else self._changed(known, wish)
        if known is not None:
            agent = msgspec.structs.replace(agent, created_ns=known.created_ns)
        if agent.parent and (known is None or agent.roles != known.roles):
            self._check_lineage(connection, agent)
        narrowed = self._narrowed(connection, agent) if known is not None and agent.roles != known.roles else []
        return [agent, *narrowed]

    def _new(self, wish: Wish) -> Agent:
        tenant = wish.tenant or DEFAULT_TENANT
        for text in (wish.name, tenant, *filter(None, (wish.department,))):
            if not _NAME.fullmatch(text):
                raise AccessRefused(
                    "agent_invalid", f"{text!r} is no name; use up to 63 lower-case letters, digits, '-' and '_'."
                )
        if wish.name in self._reserved:
            raise AccessRefused("agent_invalid", f"{wish.name!r} is the name of a MAD of this colony; take another.")
        if not wish.roles:
            raise AccessRefused("agent_invalid", f"{wish.name!r} is new; say at least one role for it.")
        self._require(wish.roles)
        return Agent(
            wish.name,
            tenant,
            wish.kind or "agent",
            wish.roles,
            self._clock.now_ns(),
            wish.department or "",
            wish.seniority or "",
            wish.autonomy or "",
            wish.parent or "",
            wish.reason or "",
            wish.beyond_parent,
        )

    def _changed(self, known: Agent, wish: Wish) -> Agent:
        fixed = (wish.tenant, known.tenant), (wish.kind, known.kind), (wish.parent, known.parent)
        if any(wanted not in (None, held) for wanted, held in (*fixed, (wish.autonomy, known.autonomy))):
            of = f", working for {known.parent!r}" if known.parent else ""
            raise AccessRefused(
                "roles_differ",
                f"{known.name!r} exists as {known.kind} of tenant {known.tenant!r}{of}, with the autonomy "
                f"{known.autonomy or 'of its department'!r}, and that is not changed by a token; take another name.",
            )
        wanted = msgspec.structs.replace(
            known,
            roles=wish.roles or known.roles,
            department=known.department if wish.department is None else wish.department,
            seniority=known.seniority if wish.seniority is None else wish.seniority,
        )
        if wanted == known:
            return known
        if not wish.replace:
            raise AccessRefused(
                "roles_differ",
                f"{known.name!r} has the roles {', '.join(known.roles)}, department {known.department!r} and seniority "
                f"{known.seniority!r}; leave them out to keep them, or say replace_roles to change them for all of its "
                "tokens.",
            )
        self._require(wanted.roles)
        return msgspec.structs.replace(wanted, beyond_parent=known.beyond_parent or wish.beyond_parent)

    def _check_lineage(self, connection: Connection, agent: Agent) -> None:
        parent = sql.read_agent(connection, agent.parent)
        if parent is None or parent.tenant != agent.tenant:
            raise AccessRefused("agent_invalid", f"There is no agent {agent.parent!r} that {agent.name!r} could have.")
        if self._generations(connection, parent) >= MOST_GENERATIONS:
            raise AccessRefused(
                "lineage_exceeded",
                f"{parent.name!r} is {MOST_GENERATIONS} generations from an agent that nobody made; have one of its "
                "parents make the new agent.",
            )
        if agent.beyond_parent:
            return
        exceeding = [role for role in agent.roles if not self._covers(parent.roles, role)]
        if exceeding or _is_above(agent.autonomy, parent.autonomy):
            what = f"the role {', '.join(exceeding)}" if exceeding else f"the autonomy {agent.autonomy!r}"
            raise AccessRefused(
                "lineage_exceeded",
                f"{agent.name!r} would have {what} and its parent {parent.name!r} has not; give it less, or have an "
                "operator say beyond_parent.",
            )

    def _generations(self, connection: Connection, agent: Agent) -> int:
        count, one = 1, agent
        while one.parent and count < MOST_GENERATIONS:
            above = sql.read_agent(connection, one.parent)
            if above is None:
                break
            count, one = count + 1, above
        return count

    def _narrowed(self, connection: Connection, parent: Agent) -> list[Agent]:
        """The children, and theirs, whose roles the parent's new ones do not cover, with what is left to them."""
        changed: list[Agent] = []
        for child in sql.read_children(connection, parent.name):
            left = tuple(role for role in child.roles if self._covers(parent.roles, role))
            if left != child.roles and not child.beyond_parent:
                narrower = msgspec.structs.replace(child, roles=left)
                changed += [narrower, *self._narrowed(connection, narrower)]
        return changed

    def _covers(self, held: tuple[str, ...], role: str) -> bool:
        return role in held if self._roles is None else self._roles.covers(held, role)

    def _require(self, roles: tuple[str, ...]) -> None:
        if self._roles is not None:
            self._roles.require(roles)


def _is_above(level: str, other: str) -> bool:
    # Where one of them has its department's, the level that holds is found when it is asked for.
    return bool(level and other) and _LEVELS.index(level) > _LEVELS.index(other)
