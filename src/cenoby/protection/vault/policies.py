"""Policies of secrets as they are in force: those of the settings and those that people set. Both must let a use pass.

A secret without any policy is for its readers; with one, what no permit names is refused. How often a permit was used
is counted in the database, each use before it happens, so that no node and no restart grants one too many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cenoby.kernel.clock import Clock
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings_secrets import WINDOWS, SecretPermit, SecretTerms
from cenoby.protection.events import SecretPolicySet
from cenoby.protection.secrets import Caller, Journalled, Use
from cenoby.protection.vault import use_sql
from cenoby.protection.vault.permits import (
    Considered,
    consider,
    holding,
    permits_from_text,
    permits_to_text,
    plain_permits,
    why_not,
)
from cenoby.protection.vault.rule import SecretRefused
from cenoby.store.database import Database
from cenoby.store.engine import Connection

Source = Literal["settings", "set"]
"""Where a policy is from: the settings, or a person who set it."""
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """One policy of a secret.

    Attributes:
        source: where it is from.
        permits: what it lets through.
        set_by, set_ns: who set it, and when; empty where it is from the settings.
    """

    source: Source
    permits: Sequence[SecretPermit]
    set_by: str = ""
    set_ns: int = 0

    def plain(self) -> list[dict[str, Any]]:
        """Its permits as plain JSON types."""
        return plain_permits(self.permits)


@dataclass(frozen=True, slots=True, kw_only=True)
class UseExplained:
    """What the policies of a secret say of a use.

    Attributes:
        decision: `allow`, `deny`, or `no policy`: then its readers are all there is to ask.
        because: one sentence for people.
        considered: each policy in force with each of its permits.
    """

    decision: Literal["allow", "deny", "no policy"]
    because: str
    considered: list[tuple[PolicyInForce, list[Considered]]] = field(
        default_factory=list[tuple[PolicyInForce, list[Considered]]]
    )


class SecretPolicies:
    """The policies of all secrets.

    Args:
        database, clock: where those lie that people set, and when uses were.
        declared: from the settings, for secrets of the tenant `home`.
        home: the tenant that the settings speak of.
    """

    def __init__(self, database: Database, clock: Clock, declared: Mapping[str, SecretTerms], home: str) -> None:
        self._database = database
        self._clock = clock
        self._declared = declared
        self._home = home

    async def of(self, tenant: str, name: str) -> list[PolicyInForce]:
        """The policies of a secret; none where its readers are all there is."""
        return await self._database.read(lambda connection: self._of(connection, tenant, name))

    async def admit(self, name: str, use: Use) -> None:
        """Pass if the policies let a use through, and count it.

        Raises:
            SecretRefused: `secret_policy`, `secret_used_up`.
            StoreUnavailable: it could not be counted.
        """
        policies = await self.require(name, use)
        if any(permit.times for policy in policies for permit in policy.permits):
            wait_ns = await self._database.write(lambda connection: self._count(connection, name, use))
            if wait_ns:
                raise SecretRefused(
                    "secret_used_up",
                    f"The policy of secret {name!r} lets {use.who!r} use it only so often; ask again later.",
                    retry_after=wait_ns / _SECOND,
                )

    async def require(self, name: str, use: Use) -> list[PolicyInForce]:
        """Pass if the policies let a use through, how often aside; those in force.

        Raises:
            SecretRefused: `secret_policy`.
        """
        policies = await self.of(use.tenant, name)
        if problem := self._problem(policies, use):
            raise _refused(name, problem)
        return policies

    async def explain(self, name: str, use: Use) -> UseExplained:
        """What the policies say of a use, by which permit; nothing is counted."""
        policies = await self.of(use.tenant, name)
        considered = [(policy, [consider(permit, use) for permit in policy.permits]) for policy in policies]
        if not policies:
            return UseExplained(decision="no policy", because=f"secret {name!r} has no policy; its readers may read it")
        if problem := self._problem(policies, use):
            return UseExplained(decision="deny", because=problem, considered=considered)
        wait_ns = await self._database.read(lambda connection: self._wait(connection, name, use, policies))
        if wait_ns:
            because = f"it was used as often as may be; again in {wait_ns // _SECOND + 1} s"
            return UseExplained(decision="deny", because=because, considered=considered)
        return UseExplained(
            decision="allow", because="a permit of every policy in force lets it through", considered=considered
        )

    async def set(
        self, caller: Caller, name: str, permits: Sequence[SecretPermit] | None, reason: str, record: Journalled
    ) -> None:
        """Put another policy in force for a secret of the caller's tenant, or none.

        Raises:
            StoreUnavailable: it could not be recorded, or not be kept; the former one holds.
        """
        plain = None if permits is None else plain_permits(permits)
        await record(SecretPolicySet(name=name, permits=plain, notes=reason))
        now_ns = self._clock.now_ns()

        def write(connection: Connection) -> None:
            if permits is None:
                use_sql.remove_policy(connection, caller.tenant, name)
            else:
                use_sql.write_policy(connection, caller.tenant, name, permits_to_text(permits), caller.agent, now_ns)

        await self._database.write(write)

    def _of(self, connection: Connection, tenant: str, name: str) -> list[PolicyInForce]:
        found: list[PolicyInForce] = []
        declared = self._declared.get(name) if tenant == self._home else None
        if declared is not None and declared.permits is not None:
            found.append(PolicyInForce("settings", declared.permits))
        row = use_sql.read_policy(connection, tenant, name)
        if row is not None:
            found.append(PolicyInForce("set", _permits(row[0]), row[1], row[2]))
        return found

    def _problem(self, policies: Sequence[PolicyInForce], use: Use) -> str:
        for policy in policies:
            if not holding(policy.permits, use):
                return why_not([consider(permit, use) for permit in policy.permits], use)
        return ""

    def _count(self, connection: Connection, name: str, use: Use) -> int:
        """Count a use of one permit of each policy; nothing, and nanoseconds to wait, where one has no room."""
        # Read again in this transaction: the policy may have become another since it was looked at.
        policies = self._of(connection, use.tenant, name)
        if problem := self._problem(policies, use):
            raise _refused(name, problem)
        if wait_ns := self._wait(connection, name, use, policies):
            return wait_ns
        now_ns = self._clock.now_ns()
        for policy in policies:
            permit = next(one for one in self._fitting(policy, use) if not self._full(connection, name, use, *one))
            if permit[1].times is not None:
                use_sql.add_use(connection, new_id(), use.tenant, name, permit[0], use.who, now_ns)
        return 0

    def _wait(self, connection: Connection, name: str, use: Use, policies: Sequence[PolicyInForce]) -> int:
        waits = [
            min(self._full(connection, name, use, key, permit) for key, permit in self._fitting(policy, use))
            for policy in policies
        ]
        return max(waits, default=0)

    def _fitting(self, policy: PolicyInForce, use: Use) -> list[tuple[str, SecretPermit]]:
        return [
            (_key(policy.source, policy.permits[number]), policy.permits[number])
            for number in holding(policy.permits, use)
        ]

    def _full(self, connection: Connection, name: str, use: Use, key: str, permit: SecretPermit) -> int:
        """Nanoseconds until a permit has room for one more use; 0 where it has."""
        if permit.times is None:
            return 0
        now_ns, window_ns = self._clock.now_ns(), WINDOWS[permit.per] * _SECOND
        used, first_ns = use_sql.uses_since(connection, use.tenant, name, key, use.who, now_ns - window_ns)
        return 0 if used < permit.times else max(1, first_ns + window_ns - now_ns)


def _key(source: Source, permit: SecretPermit) -> str:
    """By what uses of a permit are counted: another permit is counted anew."""
    return f"{source}:{hashlib.sha256(permits_to_text([permit]).encode()).hexdigest()[:16]}"


def _permits(text: str) -> list[SecretPermit]:
    try:
        return permits_from_text(text)
    except ValueError:
        # A policy that cannot be read lets nobody through.
        return []


def _refused(name: str, problem: str) -> SecretRefused:
    return SecretRefused(
        "secret_policy", f"Secret {name!r}: {problem}. `cenoby secret explain {name}` shows what its policy says."
    )
