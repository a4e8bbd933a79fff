"""`./dev bench policy`: what a decision of policy costs, with 50, 1,000 and 5,000 policies and 10,000 agents.

Half of the policies have three conditions. Fixed: no condition fits the call. Conditional: one or two such policies do.
First: a kind of subject, an action type and a tool that were not asked for before. Processor time, except for loading.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

from bench.figures import Figure
from cenoby.access.actions import RiskTier, known_actions
from cenoby.access.policy.policy_set import Ingredients, PolicySet, build
from cenoby.access.policy.source import Source
from cenoby.access.policy.vocabulary import Vocabulary
from cenoby.access.principals import Principal

SIZES = (50, 1_000, 5_000)
ROLES, AGENTS, DECISIONS, ROUNDS = 200, 10_000, 50_000, 7
TOOL, ARGUMENTS = "mads.marco.fetch", {"url": "https://a.example/1"}


def policies(number: int) -> PolicySet:
    """So many policies over the roles and action types, a fifth of them forbids."""
    actions = sorted(known_actions())
    texts: list[str] = []
    for place in range(number):
        effect, action = "permit" if place % 5 else "forbid", actions[place % len(actions)]
        test = (
            ' when { context.arguments has url && context.arguments.url like "https://*.example/*"'
            " && context.risk_level < 4 }"
        )
        scope = f'principal in Role::"r{place % ROLES}", action == Action::"{action}", resource'
        texts.append(f'@id("p{place}") {effect} ({scope}){test if place % 2 else ""};')
    texts += [
        f'@id("any{role}") permit (principal in Role::"r{role}", action, resource == Tool::"mads.a.b");'
        for role in range(ROLES)
    ]
    source = Source("bench.cedar", "\n".join(texts))
    return build(Ingredients(sources=(source,)), Vocabulary(tuple(actions)))


def agents() -> list[Principal]:
    """Agents with two roles each."""
    return [
        Principal(f"a{place}", "default", (f"r{place % ROLES}", f"r{place * 7 % ROLES}"), "agent")
        for place in range(AGENTS)
    ]


def microseconds(decide: Callable[[], object]) -> float:
    """Of one decision; the median of the rounds."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(DECISIONS):
            decide()
        rounds.append((time.process_time() - start) / DECISIONS * 1e6)
    return statistics.median(rounds)


def measure(number: int) -> list[Figure]:
    start = time.perf_counter()
    made = policies(number)
    seconds = time.perf_counter() - start
    table, subjects = made.table, agents()
    first: list[float] = []
    for subject in subjects[:ROLES]:
        for action in sorted(known_actions())[:10]:
            begun = time.process_time_ns()
            table.plan(subject, action, TOOL)
            first.append((time.process_time_ns() - begun) / 1e3)
    one = next(
        (subject, action)
        for subject in subjects[:ROLES]
        for action in sorted(known_actions())
        if table.plan(subject, action, TOOL).fixed is None
    )
    operator = Principal("root", "default", ("operator",), "person")
    tier, nothing = RiskTier.MEDIUM, dict[str, object]()
    fixed = microseconds(lambda: table.decide(operator, "web:fetch", TOOL, "outside", tier, ARGUMENTS, nothing, 0))
    conditional = microseconds(lambda: table.decide(*one, TOOL, "outside", tier, ARGUMENTS, nothing, 0))
    return [
        Figure(f"fixed, {number}", fixed, 1, "us"),
        Figure(f"conditional, {number}", conditional, 10, "us"),
        Figure(f"first p99, {number}", sorted(first)[len(first) * 99 // 100], 100, "us"),
        Figure(f"load, {number}", seconds, 10, "s"),
    ]


def main(as_json: bool) -> int:
    figures = [figure for number in SIZES for figure in measure(number)]
    if as_json:
        print(json.dumps({figure.name: figure.value for figure in figures}))
    else:
        print("\n".join(map(str, figures)))
    return 0 if all(figure.reached for figure in figures) else 1
