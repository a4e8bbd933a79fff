"""Roles: which action types a principal may use. What no role names is denied."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from cenoby.access.actions import is_known
from cenoby.access.principals import Principal
from cenoby.kernel.errors import Refused
from cenoby.kernel.settings_file import SettingsError

SHIPPED_ROLES: Mapping[str, tuple[str, ...]] = {
    # The person who runs the colony: everything, approvals included.
    "operator": ("*",),
    # A coding agent or assistant: conversations, secrets, the web, models and tools; decides nothing for others.
    "developer": (
        "colony:read",
        "comms:internal",
        "comms:read",
        "docs:write",
        "memory:*",
        "model:call",
        "secret:read",
        "secret:rotate",
        "secret:write",
        "test:*",
        "tool:call",
        "web:*",
    ),
    # Reads along.
    "observer": ("colony:read", "comms:read"),
    # Checks what happened and who allowed it.
    "auditor": ("approval:read", "colony:read", "journal:read"),
}

_CAPABILITY = re.compile(r"\*|[a-z][a-z0-9_-]*:(\*|[a-z][a-z0-9_-]*)")


class AccessRefused(Refused):
    """The rule says no to somebody we know."""

    codes = {
        "action_not_allowed": "No role of the caller has the capability that the tool needs.",
        "tool_switched_off": "A flag has it off for this agent; the message says why; an operator can change it.",
        "approval_pending": "A person must approve details.approval_id first; then repeat the call unchanged.",
        "approval_denied": "A person said no to this call; the message holds the reason.",
        "approval_own": "Nobody decides a request of their own; another agent must.",
        "approval_decided": "The request was decided before, or its time ran out.",
        "approval_unknown": "There is no such approval request for this caller.",
        "agent_invalid": "The name or another property of an agent or token is not acceptable.",
        "role_unknown": "No role of that name is shipped or in the settings.",
        "roles_differ": "The agent exists with other roles, tenant or kind; roles change only with replace_roles.",
        "roles_changed": "The agent's roles changed while the call waited; repeat it, and it is decided anew.",
        "token_not_found": "There is no token with that id; list them first.",
        "reservation_unknown": "There is no budget reservation with that id.",
    }


class RoleTable:
    """The roles in force.

    Args:
        roles: the settings' `roles`: further ones, or other capabilities for shipped ones. A capability is an action
            type, a category (`web:*`), or `*` for every registered type.

    Raises:
        SettingsError: a capability is none of these.
    """

    def __init__(self, roles: Mapping[str, Sequence[str]] | None = None) -> None:
        self._grants = {
            role: frozenset(_checked(role, grants)) for role, grants in {**SHIPPED_ROLES, **(roles or {})}.items()
        }
        self._answers: dict[tuple[str, ...], dict[str, bool]] = {}

    def allows(self, principal: Principal, action: str) -> bool:
        """Whether any role of the principal has the capability. Unknown roles and unregistered action types: no."""
        try:
            return self._answers[principal.roles][action]
        except KeyError:
            return self._answer(principal.roles, action)

    def authorise(self, principal: Principal, action: str, tool: str) -> None:
        """Pass if the principal may use the action type; `tool` is named in the refusal.

        Raises:
            AccessRefused: `action_not_allowed`.
        """
        if self.allows(principal, action):
            return
        roles = ", ".join(principal.roles) or "none"
        able = sorted(role for role in self._grants if self._answer((role,), action))
        remedy = (
            f"roles that have it: {', '.join(able)}; an operator gives an agent its roles"
            if able
            else "no role has it; an operator can add it to one under `roles` in the settings"
        )
        raise AccessRefused(
            "action_not_allowed",
            f"{tool} needs the capability {action}, which {principal.agent!r} (roles: {roles}) lacks; {remedy}.",
            details={"action": action, "roles": list(principal.roles), "roles_with_capability": able},
        )

    def require(self, roles: Iterable[str]) -> None:
        """Pass if every role exists.

        Raises:
            AccessRefused: `role_unknown`, naming the nearest that does.
        """
        for role in roles:
            if role not in self._grants:
                near = difflib.get_close_matches(role, self._grants, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise AccessRefused(
                    "role_unknown", f"There is no role {role!r}; {hint}Roles are {', '.join(sorted(self._grants))}."
                )

    def _answer(self, roles: tuple[str, ...], action: str) -> bool:
        # Only registered types are remembered: they are few, and one declared later must not meet an old "no".
        if not is_known(action):
            return False
        wanted = {"*", action, f"{action.partition(':')[0]}:*"}
        allowed = any(not wanted.isdisjoint(self._grants.get(role, ())) for role in roles)
        self._answers.setdefault(roles, {})[action] = allowed
        return allowed


def _checked(role: str, grants: Sequence[str]) -> Sequence[str]:
    for grant in grants:
        if not _CAPABILITY.fullmatch(grant):
            raise SettingsError(
                "settings_invalid",
                f"roles.{role}: {grant!r} is no capability; use category:action, category:* or *.",
            )
    return grants
