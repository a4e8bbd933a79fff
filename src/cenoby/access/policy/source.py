"""The text of policy files: cut into policies with their lines, and read by Cedar's own parser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import cedarpy
import msgspec

from cenoby.access.policy.errors import Problem, Unusable
from cenoby.access.policy.expressions import Json
from cenoby.access.policy.policies import Policy, policy_id, read_policy

_TOKEN = re.compile(r'//[^\n]*|"(?:\\.|[^"\\])*"|;|[^\s;"/]+|\S', re.S)

_AT_ONCE = 20
"""Policies that are parsed in one go: Cedar's parser lets nobody else run meanwhile, and these take it 5 ms."""


class Source(msgspec.Struct, frozen=True):
    """One text with policies.

    Attributes:
        name: of its file, as people are shown it.
        text: all of it.
    """

    name: str
    text: str


def read_source(source: Source) -> tuple[list[Policy], list[Problem]]:
    """The policies of one text, and what is wrong with the others.

    Args:
        source: the text.
    """
    policies: list[Policy] = []
    problems: list[Problem] = []
    for (line, text), tree in zip(*_parse(source, problems), strict=True):
        try:
            policies.append(read_policy(tree, file=source.name, line=line, text=text))
        except Unusable as error:
            problems.append(Problem(source.name, line, policy_id(tree), str(error)))
    return policies, problems


def cut(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of each policy, comments between them left out; what follows the last `;` is a piece, too."""
    line, seen, start, start_line = 1, 0, -1, 0
    for token in _TOKEN.finditer(text):
        if token[0].startswith("//"):
            continue
        if start < 0:
            line += text.count("\n", seen, token.start())
            seen, start, start_line = token.start(), token.start(), line
        if token[0] == ";":
            yield start_line, text[start : token.end()]
            start = -1
    if start >= 0:
        yield start_line, text[start:].rstrip()


def clause_text(clause: Json) -> str:
    """A condition in Cedar's language, such as `context.risk == "high"`."""
    every = {"op": "All"}
    conditions = [{"kind": "when", "body": clause}]
    policy = {"effect": "permit", "principal": every, "action": every, "resource": every, "conditions": conditions}
    tree: Json = {"templates": {}, "staticPolicies": {"a": policy}, "templateLinks": []}
    whole = cedarpy.policies_from_json_str(json.dumps(tree))
    return whole[whole.index("{") + 1 : whole.rindex("}")].strip()


def _parse(source: Source, problems: list[Problem]) -> tuple[list[tuple[int, str]], list[Json]]:
    pieces = list(cut(source.text))
    good: list[tuple[int, str]] = []
    read: list[Json] = []
    for first in range(0, len(pieces), _AT_ONCE):
        part = pieces[first : first + _AT_ONCE]
        trees = _parse_together([text for _, text in part])
        if trees is None:
            # Something in it is wrong: policy by policy, to say which.
            part, trees = _parse_singly(source.name, part, problems)
        good += part
        read += trees
    return good, read


def _parse_singly(
    name: str, pieces: list[tuple[int, str]], problems: list[Problem]
) -> tuple[list[tuple[int, str]], list[Json]]:
    good: list[tuple[int, str]] = []
    read: list[Json] = []
    for line, text in pieces:
        try:
            parsed = json.loads(cedarpy.policies_to_json_str(text))
        except ValueError as error:
            problems.append(Problem(name, line, "", f"cannot be read: {error}"))
            continue
        if parsed["templates"]:
            problems.append(Problem(name, line, "", "a template (?principal, ?resource) is not supported"))
            continue
        good.append((line, text))
        read.append(parsed["staticPolicies"]["policy0"])
    return good, read


def _parse_together(texts: list[str]) -> list[Json] | None:
    try:
        parsed = json.loads(cedarpy.policies_to_json_str("\n".join(texts)))
    except ValueError:
        return None
    policies = parsed["staticPolicies"]
    if parsed["templates"] or len(policies) != len(texts):
        return None
    # Cedar numbers policies in the order of the text.
    return [policies[f"policy{place}"] for place in range(len(texts))]
