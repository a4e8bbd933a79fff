"""The levels of autonomy that were set: durable, in memory, and the same on every node.

Only a person sets a level. The colony itself only holds agents: a hold is a row of its own, it can get no higher but by
a person who knew of it, and so a hold wins over any raise that is under way at the same time.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from cenoby.access.actions import RiskTier
from cenoby.access.autonomy.autonomy import (
    Key,
    Level,
    LevelRow,
    Rows,
    Scope,
    Standing,
    Subject,
    ask_of,
    ceiling_of,
    department_standing,
    standing_of,
    subject_of,
)
from cenoby.access.principals import Principal
from cenoby.access.roles import AccessRefused
from cenoby.access.verdicts import Ask
from cenoby.kernel.clock import Clock
from cenoby.kernel.settings_autonomy import AutonomySettings
from cenoby.store.engine import Connection
from cenoby.store.table_cache import Change, TableCache

_FULL = Level.FULL
_KEPT = 16_384
"""Principals whose level is kept worked out, until a row changes."""


class Changed(NamedTuple):
    """What a change did to the level in force."""

    was: Level
    now: Level


class AutonomyLevels:
    """All levels, in memory; each change is durable before it holds.

    Args:
        cache: keeps them; its table `autonomy_levels` is ours.
        clock: the time.
        settings: the levels where none was set.
    """

    def __init__(self, cache: TableCache, clock: Clock, settings: AutonomySettings) -> None:
        self._cache = cache
        self._clock = clock
        self._settings = settings
        self._rows = cache.table("autonomy_levels", _read, lambda _: self._kept.clear())
        self._kept: dict[Principal, Standing] = {}
        self._all_full = settings.company == "full" and not settings.departments

    def ask(self, principal: Principal, action: str, risk: RiskTier) -> Ask | None:
        """Why a person must decide this call by the caller's level, if so.

        Raises:
            StoreUnavailable: store_cold: the levels were not read yet.
        """
        if principal.kind == "person":
            return None
        rows = self._rows.all()
        if self._all_full and not rows and not principal.seniority and not principal.autonomy:
            return None
        standing = self._kept.get(principal)
        if standing is None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[principal] = standing = standing_of(subject_of(principal), rows, self._settings)
        return None if standing[0] is _FULL else ask_of(standing, action, risk)

    def standing(self, subject: Subject) -> Standing:
        """The level in force for an agent, and what decided it.

        Raises:
            StoreUnavailable: as for `ask`.
        """
        return standing_of(subject, self._rows.all(), self._settings)

    def standing_at(self, tenant: str, department: str) -> Standing:
        """The level of a department; of the company for an empty name.

        Raises:
            StoreUnavailable: as for `ask`.
        """
        return department_standing(tenant, department, self._rows.all(), self._settings)

    def held(self, subject: Subject) -> LevelRow | None:
        """The hold on an agent, if there is one.

        Raises:
            StoreUnavailable: as for `ask`.
        """
        return self._rows.all().get((subject.tenant, "held", subject.agent))

    def list(self, tenant: str) -> list[LevelRow]:
        """The rows of a tenant, by scope and name."""
        held = (one for one in self._rows.all().values() if one.tenant == tenant)
        return sorted(held, key=lambda one: (one.scope, one.name))

    def words(self) -> str:
        """What `status` says of levels."""
        rows = self._rows.all().values()
        held = sum(one.scope == "held" for one in rows)
        text = f"{self.standing_at('default', '').level}, {len(rows) - held} levels set"
        return f"{text}, {held} agents held lower" if held else text

    async def set(
        self,
        principal: Principal,
        scope: Scope,
        subject: Subject,
        level: Level | None,
        reason: str,
        seen: Level | None = None,
    ) -> Changed:
        """Set a level; it holds from the next call on, and on other nodes soon after. A hold that it exceeds is over.

        Args:
            principal: who sets it: a person, of the tenant.
            scope: whose level: the agent's, its department's or the company's.
            subject: the agent; or only its department, or neither.
            level: None takes the level back that was set, so that the next wider one holds.
            reason: why.
            seen: the level that the person saw in force; with another one by now, nothing is set.

        Raises:
            AccessRefused: `autonomy_by_person`, `autonomy_ceiling`, or `autonomy_changed`.
            StoreUnavailable: it could not be made durable; what was before holds.
        """
        if principal.kind != "person" or principal.tenant != subject.tenant:
            raise AccessRefused("autonomy_by_person", "Only a person, of the same tenant, sets levels of autonomy.")
        if scope == "agent" and level is not None and level > ceiling_of(subject.seniority):
            ceiling = ceiling_of(subject.seniority)
            text = f"{subject.agent!r} is a {subject.seniority}, and comes to {ceiling} at most."
            raise AccessRefused("autonomy_ceiling", text)
        known = dict(self._rows.all())
        was = self._at(scope, subject, known)
        if seen is not None and seen is not was:
            raise _changed_meanwhile(subject, was)
        key = (subject.tenant, scope, {"agent": subject.agent, "department": subject.department}.get(scope, ""))
        now_ns = self._clock.now_ns()
        row = None if level is None else LevelRow(key[0], scope, key[2], level, reason, principal.agent, now_ns)
        return await self._cache.write(lambda connection: self._put(connection, key, row, subject, known))

    async def hold(self, tenant: str, agent: str, level: Level, reason: str) -> LevelRow:
        """Let an agent not above `level` until a person raises it; a stricter hold stays as strict.

        Raises:
            StoreUnavailable: it could not be made durable.
        """
        row = LevelRow(tenant, "held", agent, level, reason, "colony", self._clock.now_ns())

        def put(connection: Connection) -> tuple[LevelRow, list[Change]]:
            connection.execute(_HOLD, msgspec.structs.astuple(row))
            (kept,) = connection.execute(_LEVEL, (tenant, "held", agent)).fetchone()
            holds = msgspec.structs.replace(row, level=Level(kept))
            return holds, [(self._rows, {(tenant, "held", agent): holds})]

        return await self._cache.write(put)

    def _put(
        self, connection: Connection, key: Key, row: LevelRow | None, subject: Subject, known: Rows
    ) -> tuple[Changed, list[Change]]:
        scope = key[1]
        if row is None:
            connection.execute(_REMOVE, key)
        else:
            connection.execute(_PUT, msgspec.structs.astuple(row))
        rows: dict[Key, LevelRow | None] = {key: row}
        held = known.get((subject.tenant, "held", subject.agent)) if scope == "agent" else None
        if held is not None and (row is None or row.level > held.level):
            # One that came meanwhile, also of the same level, is none that this person knew of.
            end = (*_key(held), held.level, held.set_ns)
            if connection.execute(_END_HOLD, end).rowcount != 1:
                raise _changed_meanwhile(subject, held.level)
            rows[_key(held)] = None
        after = {name: one for name, one in ({**known, **rows}).items() if one is not None}
        changed = Changed(self._at(scope, subject, known), self._at(scope, subject, after))
        return changed, [(self._rows, rows)]

    def _at(self, scope: str, subject: Subject, rows: Rows) -> Level:
        if scope == "agent":
            return standing_of(subject, rows, self._settings).level
        department = subject.department if scope == "department" else ""
        return department_standing(subject.tenant, department, rows, self._settings).level


def _key(row: LevelRow) -> Key:
    return row.tenant, row.scope, row.name


def _changed_meanwhile(subject: Subject, level: Level) -> AccessRefused:
    what = subject.agent or subject.department or "the company"
    return AccessRefused(
        "autonomy_changed", f"The level of {what!r} changed meanwhile, it was {level}; look again, then decide."
    )


def _read(connection: Connection) -> dict[Key, LevelRow]:
    found = [
        LevelRow(tenant, scope, name, Level(level), reason, set_by, set_ns)
        for tenant, scope, name, level, reason, set_by, set_ns in connection.execute(_ALL)
    ]
    return {_key(one): one for one in found}


_ALL = "SELECT tenant, scope, name, level, reason, set_by, set_ns FROM autonomy_levels"
_LEVEL = "SELECT level FROM autonomy_levels WHERE tenant = ? AND scope = ? AND name = ?"
_INSERT = (
    "INSERT INTO autonomy_levels (tenant, scope, name, level, reason, set_by, set_ns) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (tenant, scope, name) DO UPDATE SET reason = excluded.reason, set_by = excluded.set_by,"
    " set_ns = excluded.set_ns, level = "
)
_PUT = f"{_INSERT}excluded.level"
_HOLD = f"{_INSERT}CASE WHEN excluded.level < autonomy_levels.level THEN excluded.level ELSE autonomy_levels.level END"
_REMOVE = "DELETE FROM autonomy_levels WHERE tenant = ? AND scope = ? AND name = ?"
_END_HOLD = f"{_REMOVE} AND level = ? AND set_ns = ?"
