"""One question to policy: who wants which action on which tool, and what conditions may read of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cenoby.access.actions import RiskTier
from cenoby.access.policy.values import Entity, EvaluationFailed, from_json
from cenoby.access.principals import Principal

_DAY_SECONDS = 86_400


class Request:
    """What conditions read; nothing is computed before one asks for it.

    Args:
        principal: who calls.
        action: the action type.
        tool: the tool's canonical name; empty where no tool is meant.
        effect: what the tool changes: `reads`, `writes` or `outside`.
        risk: the risk tier in force.
        arguments: as the caller gave them, plain JSON types.
        defaults: typed arguments, for those that the caller left out.
        now_ns: Unix nanoseconds.
    """

    __slots__ = ("action", "arguments", "defaults", "effect", "now_ns", "principal", "risk", "tool")

    def __init__(
        self,
        principal: Principal,
        action: str,
        tool: str,
        effect: str = "",
        risk: RiskTier = RiskTier.HIGH,
        arguments: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        now_ns: int = 0,
    ) -> None:
        self.principal = principal
        self.action = action
        self.tool = tool
        self.effect = effect
        self.risk = risk
        self.arguments = arguments or {}
        self.defaults = defaults or {}
        self.now_ns = now_ns

    def argument(self, name: str) -> Any:
        """One argument as a value of policy.

        Raises:
            EvaluationFailed: it is absent, or policy cannot read it.
        """
        value = self.arguments[name] if name in self.arguments else self.defaults.get(name)
        if type(value) is str:
            return value
        if value is None:
            raise EvaluationFailed(f"the call has no argument {name!r}")
        return from_json(value, f"the argument {name!r}")

    def belongs(self, entity: Entity, group: Entity) -> bool:
        """Cedar's `in`, for the entities of this request; others belong to themselves alone."""
        if entity == group:
            return True
        name = group.id
        match group.type:
            case "Role":
                return entity == ("Agent", self.principal.agent) and name in self.principal.roles
            case "Tenant":
                return entity == ("Agent", self.principal.agent) and name == self.principal.tenant
            case "Department":
                return entity == ("Agent", self.principal.agent) and name == department_of(self.principal) != ""
            case "Mad":
                return entity == ("Tool", self.tool) and name == mad_of(self.tool)
            case "Action":
                return entity == ("Action", self.action) and name == category_of(self.action)
            case _:
                return False

    def attributes(self, entity: Entity) -> Mapping[str, Callable[[Request], Any]]:
        """What can be read of an entity; nothing of one that is not part of the request."""
        if entity == ("Agent", self.principal.agent):
            return PRINCIPAL
        return RESOURCE if entity == ("Tool", self.tool) else {}


def mad_of(tool: str) -> str:
    """The MAD in a tool's canonical name, `mads.<mad>.<tool>`; empty where the name is none."""
    parts = tool.split(".", 2)
    return parts[1] if len(parts) == 3 else ""


def category_of(action: str) -> str:
    """The category of an action type, which is the group of it."""
    return action.partition(":")[0]


def department_of(principal: Principal) -> str:
    """The principal's department; empty where it has none."""
    return getattr(principal, "department", "")


PRINCIPAL: Mapping[str, Callable[[Request], Any]] = {
    "tenant": lambda request: request.principal.tenant,
    "kind": lambda request: request.principal.kind,
    "department": lambda request: department_of(request.principal),
}
"""Attributes of an Agent, all of them texts."""

RESOURCE: Mapping[str, Callable[[Request], Any]] = {
    "mad": lambda request: mad_of(request.tool),
    "effect": lambda request: request.effect,
}
"""Attributes of a Tool, all of them texts."""

CONTEXT: Mapping[str, tuple[str, Callable[[Request], Any]]] = {
    "risk": ("String", lambda request: str(request.risk)),
    "risk_level": ("Long", lambda request: int(request.risk)),
    "hour": ("Long", lambda request: request.now_ns // 1_000_000_000 % _DAY_SECONDS // 3600),
    # 1 January 1970 was a Thursday; Monday is 1, as in ISO 8601.
    "weekday": ("Long", lambda request: (request.now_ns // 1_000_000_000 // _DAY_SECONDS + 3) % 7 + 1),
}
"""What `context` has beside `arguments`, with its type in Cedar's schema. Times are UTC."""
