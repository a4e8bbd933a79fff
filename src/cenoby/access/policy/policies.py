"""One policy, checked and ready for the table: what its scope asks for, and its conditions as closures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import msgspec

from cenoby.access.policy.errors import Unusable
from cenoby.access.policy.expressions import Expression, Json, condition

Effect = Literal["permit", "forbid"]

ANY = ("", "")
"""The scope that fits everybody, or every tool."""

_GROUPS = ("Role", "Tenant", "Department")
_ANNOTATIONS = frozenset({"id", "ask", "note"})


class Policy(msgspec.Struct, frozen=True):
    """One policy.

    Attributes:
        id: its `@id`.
        effect: permit or forbid.
        ask: why a person must decide, where a permit has `@ask`; else empty.
        principal: type and id of the agent, role, tenant or department in its scope, or `ANY`.
        actions: action types and categories in its scope; empty for all.
        resource: type and id of the tool or MAD in its scope, or `ANY`.
        test: its conditions; None where it has none.
        clauses: its conditions in Cedar's JSON form.
        file, line: where it begins.
        text: as it was written.
    """

    id: str
    effect: Effect
    ask: str
    principal: tuple[str, str]
    actions: frozenset[str]
    resource: tuple[str, str]
    test: Expression | None
    clauses: tuple[Json, ...]
    file: str
    line: int
    text: str

    @property
    def place(self) -> str:
        """File and line, for people."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def fits_action(self, action: str) -> bool:
        """Whether the action type is in its scope."""
        return not self.actions or action in self.actions or action.partition(":")[0] in self.actions

    def fits_resource(self, tool: str, mad: str) -> bool:
        """Whether the tool is in its scope."""
        return self.resource in (ANY, ("Tool", tool), ("Mad", mad))


def policy_id(tree: Json) -> str:
    """The `@id` of a policy in Cedar's JSON form; empty where it has none."""
    return cast(Mapping[str, str | None], tree.get("annotations", {})).get("id") or ""


def read_policy(tree: Json, *, file: str, line: int, text: str) -> Policy:
    """A policy from Cedar's JSON form.

    Args:
        tree: that form.
        file, line, text: where it stands, and as what.

    Raises:
        Unusable: it lacks something that we ask for, or uses something that we do not support.
    """
    annotations = cast(Mapping[str, str | None], tree.get("annotations", {}))
    if unknown := sorted(annotations.keys() - _ANNOTATIONS):
        raise Unusable(f"the annotation @{unknown[0]} means nothing; there are @id, @ask and @note")
    if not annotations.get("id"):
        raise Unusable('a policy needs a name of its own: put @id("...") in front of it')
    effect: Effect = tree["effect"]
    if "ask" in annotations:
        if effect == "forbid":
            raise Unusable("@ask goes with permit; a forbid is no question")
        if not annotations["ask"]:
            raise Unusable('@ask needs a reason for the person who decides: @ask("...")')
    return Policy(
        id=policy_id(tree),
        effect=effect,
        ask=annotations.get("ask") or "",
        principal=_principal(tree["principal"]),
        actions=_actions(tree["action"]),
        resource=_resource(tree["resource"]),
        test=condition(tree["conditions"]),
        clauses=tuple(tree["conditions"]),
        file=file,
        line=line,
        text=text,
    )


def _principal(scope: Json) -> tuple[str, str]:
    found = _entity(scope, "Agent", "principal")
    if found == ANY or found[0] == "Agent" or (scope["op"] != "==" and found[0] in _GROUPS):
        return found
    raise Unusable(
        f'principal can be == Agent::"...", or in a Role, a Tenant or a Department; not {scope["op"]} {found[0]}'
    )


def _resource(scope: Json) -> tuple[str, str]:
    found = _entity(scope, "Tool", "resource")
    if found == ANY or found[0] == "Tool" or (scope["op"] != "==" and found[0] == "Mad"):
        return found
    raise Unusable(f'resource can be == Tool::"...", or in Mad::"..."; not {scope["op"]} {found[0]}')


def _entity(scope: Json, kind: str, what: str) -> tuple[str, str]:
    """The entity that a scope names, or `ANY`."""
    if scope["op"] == "All":
        return ANY
    if scope["op"] == "is":
        if scope["entity_type"] != kind:
            raise Unusable(f"{what} is always of the type {kind}, so that `is {scope['entity_type']}` never fits")
        if "in" not in scope:
            return ANY
        scope = scope["in"]
    entity = cast(Mapping[str, str], scope["entity"])
    return entity["type"], entity["id"]


def _actions(scope: Json) -> frozenset[str]:
    if scope["op"] == "All":
        return frozenset()
    entities: list[dict[str, Any]] = scope["entities"] if "entities" in scope else [scope["entity"]]
    if not entities:
        raise Unusable("the list of actions is empty, so that it never fits")
    if wrong := [one["type"] for one in entities if one["type"] != "Action"]:
        raise Unusable(f"an action is of the type Action, not {wrong[0]}")
    names = frozenset(one["id"] for one in entities)
    if scope["op"] == "==" and (categories := [name for name in names if ":" not in name]):
        raise Unusable(f'a category is a group: write action in Action::"{categories[0]}"')
    return names
