"""Random policies in Cedar's language and random requests, and what Cedar's own engine says of them."""

from __future__ import annotations

import json
from typing import Any

import cedarpy
from hypothesis import strategies as st

from cenoby.access.actions import RiskTier, known_actions
from cenoby.access.policy.request import CONTEXT, PRINCIPAL, RESOURCE, Request, category_of, mad_of
from cenoby.access.principals import Principal

AGENTS, ROLES, TENANTS = ["ada", "bob", "eve"], ["alpha", "beta", "gamma"], ["default", "other"]
TOOLS = ["mads.marco.fetch", "mads.marco.links", "mads.turing.get_secret"]
ACTIONS = ["web:fetch", "web:browse", "code:read", "secret:read"]
TEXTS = ["", "a", "ab", "aab", "a*b", "high", "low", "default", "line\nbreak", "ü"]
NUMBERS = [0, 1, -1, 2, 4, 12, 2**62, 2**63 - 1, -(2**63)]
ARGUMENTS = ["url", "n", "flag", "tags", "deep", "gone"]

VALUES = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from(NUMBERS),
    st.booleans(),
    st.lists(st.one_of(st.sampled_from(TEXTS), st.sampled_from(NUMBERS[:5]), st.booleans()), max_size=3),
    st.dictionaries(st.sampled_from(["n", "url"]), st.one_of(st.sampled_from(TEXTS), st.booleans()), max_size=2),
)

REQUESTS = st.builds(
    Request,
    st.builds(
        Principal,
        st.sampled_from(AGENTS),
        st.sampled_from(TENANTS),
        st.lists(st.sampled_from(ROLES), unique=True, max_size=3).map(lambda roles: tuple(sorted(roles))),
        st.sampled_from(["agent", "person"]),
    ),
    st.sampled_from(ACTIONS),
    st.sampled_from(TOOLS),
    st.sampled_from(["reads", "writes", "outside"]),
    st.sampled_from(list(RiskTier)),
    st.dictionaries(st.sampled_from(ARGUMENTS[:5]), VALUES, max_size=5),
    st.none(),
    st.integers(0, 2**60),
)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _one_of(*strategies: st.SearchStrategy[str] | str) -> st.SearchStrategy[str]:
    return st.one_of(*(st.just(one) if isinstance(one, str) else one for one in strategies))


LEAVES = _one_of(
    st.sampled_from(TEXTS).map(quoted),
    st.sampled_from(NUMBERS[:6]).map(str),
    "true",
    "false",
    st.sampled_from([f"context.{name}" for name in CONTEXT]),
    st.sampled_from([f"context.arguments.{name}" for name in ARGUMENTS]),
    st.sampled_from([f"context.arguments has {name}" for name in ARGUMENTS]).map(lambda text: f"({text})"),
    st.sampled_from([f"principal.{name}" for name in PRINCIPAL]),
    st.sampled_from([f"resource.{name}" for name in RESOURCE]),
    "principal",
    "action",
    "resource",
    "[]",
    '["a", "high", 1]',
    '{"n": 1, "url": "a"}',
    st.sampled_from(ROLES).map(lambda role: f'(principal in Role::"{role}")'),
    st.sampled_from(TENANTS).map(lambda one: f'(principal in [Tenant::"{one}", Role::"alpha"])'),
    '(action in Action::"web")',
    '(action in [Action::"code:read", Action::"secret"])',
    '(resource in Mad::"marco")',
    '(resource is Tool in Mad::"turing")',
    "(principal is Agent)",
    "(resource is Agent)",
    '(action == Action::"web:fetch")',
    '(principal == Agent::"ada")',
    "(principal has tenant)",
    "(resource has nothing)",
    "(context has arguments)",
    "principal.nothing",
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = ["&&", "||", "==", "!=", "<", "<=", ">", ">=", "+", "-"]
    methods = ["contains", "containsAll", "containsAny"]
    patterns = ["*", "a*", "*b", "a*b", "*a*", "a\\*b", "", "h*g*h"]
    return st.one_of(
        st.tuples(inner, st.sampled_from(two), inner).map(lambda one: f"({one[0]} {one[1]} {one[2]})"),
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda one: f"({one[0]} {one[1]} {one[2]})"),
        st.tuples(inner, inner).map(lambda one: f"({one[0]} == {one[1]})"),
        st.tuples(inner, st.sampled_from(NUMBERS[:6])).map(lambda one: f"({one[0]} * {one[1]})"),
        st.tuples(inner, st.sampled_from(methods), inner).map(lambda one: f"({one[0]}).{one[1]}({one[2]})"),
        st.tuples(inner, st.sampled_from(patterns)).map(lambda one: f'(({one[0]}) like "{one[1]}")'),
        st.tuples(inner, inner, inner).map(lambda one: f"(if {one[0]} then {one[1]} else {one[2]})"),
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
        inner.map(lambda one: f"(!({one}))"),
        inner.map(lambda one: f"(-({one}))"),
        inner.map(lambda one: f"({one}).isEmpty()"),
        inner.map(lambda one: f"(({one}) has n)"),
        inner.map(lambda one: f"({one}).n"),
        inner.map(lambda one: f'{{"n": {one}}}'),
    )


CONDITIONS = st.recursive(LEAVES, _grow, max_leaves=6)

PRINCIPALS = _one_of(
    "principal",
    "principal is Agent",
    st.sampled_from(AGENTS).map(lambda one: f'principal == Agent::"{one}"'),
    st.sampled_from(ROLES).map(lambda one: f'principal in Role::"{one}"'),
    st.sampled_from(ROLES).map(lambda one: f'principal is Agent in Role::"{one}"'),
    st.sampled_from(TENANTS).map(lambda one: f'principal in Tenant::"{one}"'),
)
SCOPES = _one_of(
    "action",
    st.sampled_from(ACTIONS).map(lambda one: f'action == Action::"{one}"'),
    st.lists(st.sampled_from([*ACTIONS, "web", "code", "secret"]), min_size=1, max_size=3).map(
        lambda names: f"action in [{', '.join(f'Action::{quoted(name)}' for name in names)}]"
    ),
    'action in Action::"web"',
)
RESOURCES = _one_of(
    "resource",
    "resource is Tool",
    st.sampled_from(TOOLS).map(lambda one: f'resource == Tool::"{one}"'),
    'resource in Mad::"marco"',
    'resource is Tool in Mad::"turing"',
)


@st.composite
def policy_texts(draw: st.DrawFn) -> str:
    """One to five policies, most of them permits, some of which ask."""
    texts: list[str] = []
    for number in range(draw(st.integers(1, 5))):
        effect = draw(st.sampled_from(["permit", "permit", "forbid"]))
        ask = '@ask("why") ' if effect == "permit" and draw(st.booleans()) else ""
        scope = ", ".join((draw(PRINCIPALS), draw(SCOPES), draw(RESOURCES)))
        clauses = [
            f" {draw(st.sampled_from(['when', 'unless']))} {{ {draw(CONDITIONS)} }}"
            for _ in range(draw(st.integers(0, 2)))
        ]
        texts.append(f'@id("p{number}") {ask}{effect} ({scope}){"".join(clauses)};')
    return "\n".join(texts)


def cedar_says(text: str, request: Request) -> tuple[str, set[str], list[str]]:
    """Cedar's decision, the ids of the policies it rests on, and its errors."""
    principal = request.principal
    parents = [{"type": "Role", "id": role} for role in principal.roles] + [{"type": "Tenant", "id": principal.tenant}]
    entities = [
        _entity("Agent", principal.agent, {name: read(request) for name, read in PRINCIPAL.items()}, parents),
        _entity("Tool", request.tool, {name: read(request) for name, read in RESOURCE.items()}, [_mad(request.tool)]),
        *(_entity("Action", one, {}, [{"type": "Action", "id": category_of(one)}]) for one in known_actions()),
    ]
    context: dict[str, Any] = {name: read(request) for name, (_, read) in CONTEXT.items()}
    asked = {
        "principal": {"type": "Agent", "id": principal.agent},
        "action": {"type": "Action", "id": request.action},
        "resource": {"type": "Tool", "id": request.tool},
        "context": context | {"arguments": dict(request.arguments)},
    }
    found = cedarpy.is_authorized(asked, text, entities)
    names = found.diagnostics.id_annotations_by_reason
    return found.decision.value.lower(), {names[one] for one in found.diagnostics.reasons}, found.diagnostics.errors


def _entity(kind: str, name: str, attributes: dict[str, Any], parents: list[dict[str, str]]) -> dict[str, Any]:
    return {"uid": {"type": kind, "id": name}, "attrs": attributes, "parents": parents}


def _mad(tool: str) -> dict[str, str]:
    return {"type": "Mad", "id": mad_of(tool)}
