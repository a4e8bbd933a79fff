"""Roles, and the one decision on what a principal may do: the policies in force. What no policy permits is denied."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cenoby.access.actions import RiskTier, known_actions
from cenoby.access.policy.policy_set import SHIPPED_ROLES, Ingredients, PolicySet, build
from cenoby.access.policy.table import Decision
from cenoby.access.principals import Principal
from cenoby.kernel.errors import Refused

__all__ = ["SHIPPED_ROLES", "AccessRefused", "RoleTable"]

_NOTHING: Mapping[str, Any] = {}


class AccessRefused(Refused):
    """The rule says no to somebody we know."""

    codes = {
        "action_not_allowed": "No policy permits the caller what the tool does; the message names roles that may.",
        "policy_forbids": "A policy forbids the call; details.policies names it, `cenoby policy explain` says why.",
        "policy_failed": "A condition of a policy cannot be evaluated for this call, which denies it.",
        "tool_switched_off": "A flag has it off for this agent; the message says why; an operator can change it.",
        "killed": "A kill switch stops the agent, MAD, tool or tenant, or all; the message says why.",
        "kill_not_yours": "This kill switch stops what belongs to others, or only a person may lift it.",
        "autonomy_by_person": "Levels of autonomy are set by people alone, for agents of their tenant.",
        "autonomy_ceiling": "The agent's seniority allows no such level.",
        "autonomy_changed": "The level is another by now than the one that was seen; look again, then decide.",
        "approval_pending": "The call is parked until a person decides details.approval_id; then it runs by itself.",
        "approval_running": "The call was approved and runs just now; ask for its result, or call again in a moment.",
        "approval_denied": "A person, or time, said no to this call; details.reason has the person's words, as data.",
        "approval_own": "Nobody decides a request of their own, with any of their agents; another person must.",
        "approval_seconded": "This is critical: whoever agreed first has spoken, and another person must agree.",
        "approver_not_person": "This is critical: people decide it, by tokens of the kind `person`.",
        "approval_scope": "The request cannot be approved for so much; the message says why.",
        "approval_decided": "The request was decided before, or its time ran out.",
        "seal_broken": "What was kept sealed was changed or moved in the database, or its key is gone; it is not used.",
        "approval_lost": "Another run of the same call used the approval; ask for its result.",
        "approval_unknown": "There is no such approval request for this caller.",
        "agent_invalid": "The name or another property of an agent or token is not acceptable.",
        "role_unknown": "No role of that name is shipped or in the settings.",
        "roles_differ": "The agent exists with other roles, tenant or kind; roles change only with replace_roles.",
        "flow_forbidden": "With what the agent saw before, the call completes what a rule forbids; see the message.",
        "flow_changed": "Another call of the agent ended meanwhile; repeat it, and it is decided anew.",
        "tenant_bound": "What moves the whole colony is for operators of its own tenant, `default`.",
        "lineage_exceeded": "An agent would have rights that its parent lacks, or too many generations above it.",
        "scope_insufficient": "The token is good, and gives its bearer no right here; the message says what it lacks.",
        "token_rotated": "The token was rotated before; the message names what followed it.",
        "roles_changed": "The agent's roles changed while the call waited; repeat it, and it is decided anew.",
        "node_invalid": "The name of a node is not acceptable, not enrolled, or enrolled with another key.",
        "node_not_enrolled": "This node's key is not enrolled; the message has the command that an operator runs.",
        "message_refused": "A message between nodes is not signed by an enrolled node, is old, or was seen before.",
        "token_not_found": "There is no token with that id; list them first.",
        "reservation_unknown": "There is no budget reservation with that id.",
    }


class RoleTable:
    """The policies in force, and the roles that they name.

    Args:
        roles: the settings' `roles`: further ones, or other capabilities for shipped ones. A capability is an action
            type, a category (`web:*`), or `*` for every registered type.
        policies: the set to begin with, instead of the shipped policies and those roles.

    Raises:
        SettingsError: a capability is none of these.
    """

    def __init__(self, roles: Mapping[str, Sequence[str]] | None = None, policies: PolicySet | None = None) -> None:
        self._set = policies or build(Ingredients(roles=roles or {}))

    @property
    def policies(self) -> PolicySet:
        """The set in force."""
        return self._set

    def use(self, policies: PolicySet) -> None:
        """Put another set in force, for every call from now on."""
        self._set = policies

    def allows(self, principal: Principal, action: str, tool: str = "") -> bool:
        """Whether the principal may use the action type, on that tool where one is named, with some arguments at least.

        Unknown roles and unregistered action types: no.
        """
        return self._set.table.plan(principal, action, tool).possible

    def risk_of(self, action: str, declared: RiskTier) -> RiskTier:
        """The risk tier of a call: the tiers file's for its action type, else what the tool declares.

        A tool that declares a stricter tier than its action type has keeps it.
        """
        return self._set.risk_of(action, declared)

    def authorise(
        self,
        principal: Principal,
        action: str,
        tool: str,
        effect: str = "",
        risk: RiskTier = RiskTier.HIGH,
        arguments: Mapping[str, Any] = _NOTHING,
        defaults: Mapping[str, Any] = _NOTHING,
        now_ns: int = 0,
    ) -> Decision:
        """What policy says of a call: allow, or ask.

        Args:
            principal, action, tool: who wants to do what; `tool` is named in the refusal.
            effect, risk, arguments, defaults, now_ns: what conditions may read, as `access/policy/request.py` has it.

        Raises:
            AccessRefused: `action_not_allowed`, `policy_forbids`, or `policy_failed`.
        """
        decision = self._set.table.decide(principal, action, tool, effect, risk, arguments, defaults, now_ns)
        if decision.says == "deny":
            raise self.refusal(decision, principal, action, tool)
        return decision

    def refusal(self, decision: Decision, principal: Principal, action: str, tool: str) -> AccessRefused:
        """The error that tells a caller of a denial, and what would help."""
        details: dict[str, Any] = {"action": action, "policies": list(decision.policies), "set": self._set.name}
        if decision.failed:
            text = (
                f"The policy {decision.policies[0]!r} cannot be evaluated for {tool}, which denies: {decision.failed}."
            )
            return AccessRefused("policy_failed", text, details=details)
        if decision.policies:
            named = ", ".join(repr(name) for name in decision.policies)
            text = f"{tool} is forbidden to {principal.agent!r} by the policy {named}; an operator can change it."
            return AccessRefused("policy_forbids", text, details=details)
        able = self.able(action, tool)
        remedy = (
            f"roles that have it: {', '.join(able)}; an operator gives an agent its roles"
            if able
            else "no role has it; an operator can add it to one under `roles` in the settings, or permit it in a policy"
        )
        roles = ", ".join(principal.roles) or "none"
        return AccessRefused(
            "action_not_allowed",
            f"{tool} needs the capability {action}, which {principal.agent!r} (roles: {roles}) lacks; {remedy}.",
            details=details | {"roles": list(principal.roles), "roles_with_capability": able},
        )

    def able(self, action: str, tool: str = "") -> list[str]:
        """The roles that would do, with some arguments at least, by name."""
        table = self._set.table
        return sorted(
            role for role in self._set.roles if table.plan(Principal("", "", (role,), "agent"), action, tool).possible
        )

    def covers(self, held: Iterable[str], role: str) -> bool:
        """Whether whoever holds these roles may use every action type that the role may, as far as roles go."""
        table = self._set.table
        holder, other = (Principal("", "", names, "agent") for names in (tuple(sorted(held)), (role,)))
        return all(
            table.plan(holder, action, "").possible
            for action in known_actions()
            if table.plan(other, action, "").possible
        )

    def require(self, roles: Iterable[str]) -> None:
        """Pass if every role exists: a permit names it, or the settings do.

        Raises:
            AccessRefused: `role_unknown`, naming the nearest that does.
        """
        known = self._set.roles
        for role in roles:
            if role not in known:
                near = difflib.get_close_matches(role, known, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise AccessRefused(
                    "role_unknown", f"There is no role {role!r}; {hint}Roles are {', '.join(sorted(known))}."
                )
