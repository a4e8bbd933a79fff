"""A whole set of policies: the shipped ones, those that stand for the settings' roles, and those from files."""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import msgspec

from cenoby.access.actions import RiskTier, tier_of
from cenoby.access.policy.errors import PolicyInvalid, Problem
from cenoby.access.policy.policies import Policy
from cenoby.access.policy.schema import validate
from cenoby.access.policy.source import Source, read_source
from cenoby.access.policy.table import Table
from cenoby.access.policy.vocabulary import Vocabulary, check_arguments
from cenoby.kernel.settings_file import SettingsError

_CAPABILITY = re.compile(r"\*|[a-z][a-z0-9_-]*:(\*|[a-z][a-z0-9_-]*)")
SHIPPED_ROLES = ("operator", "developer", "observer", "auditor")
"""The roles of `default.cedar`."""


class Ingredients(msgspec.Struct, frozen=True):
    """What a set is made of.

    Attributes:
        sources: policy files.
        roles: the settings' roles with their capabilities.
        tiers: risk tiers that differ from the registered ones, by action type.
        shipped: whether the shipped policies are part of it.
    """

    sources: tuple[Source, ...] = ()
    roles: Mapping[str, Sequence[str]] = {}
    tiers: Mapping[str, RiskTier] = {}
    shipped: bool = True

    def digest(self) -> str:
        """SHA-256 of all of it, hexadecimal; the names of files do not matter, their order does not either."""
        whole: dict[str, Any] = {
            "sources": sorted(one.text for one in self.sources),
            "roles": {role: sorted(grants) for role, grants in sorted(self.roles.items())},
            "tiers": {action: str(tier) for action, tier in sorted(self.tiers.items())},
            "shipped": shipped_source().text if self.shipped else "",
        }
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


class PolicySet:
    """Policies that were read together and hold together.

    Attributes:
        policies: all of them.
        table: for deciding.
        roles: the roles that exist: those that a permit names, and the settings'.
        tiers: risk tiers by action type, where the tiers file has one.
        digest: SHA-256 of what it was made of.
        name: the first twelve digits of that, as the journal has it.
    """

    def __init__(self, policies: Sequence[Policy], ingredients: Ingredients) -> None:
        self.policies = tuple(policies)
        self.table = Table(policies)
        self.roles = frozenset(ingredients.roles) | {
            one.principal[1] for one in policies if one.effect == "permit" and one.principal[0] == "Role"
        }
        self.tiers = dict(ingredients.tiers)
        self.digest = ingredients.digest()
        self.name = self.digest[:12]

    def risk_of(self, action: str, declared: RiskTier) -> RiskTier:
        """The risk tier of a call: the tiers file's for its action type, else what the tool declares.

        A tool that declares a stricter tier than its action type has keeps it.
        """
        if not self.tiers or action not in self.tiers:
            return declared
        return self.tiers[action] if declared is tier_of(action) else max(self.tiers[action], declared)


def build(ingredients: Ingredients, vocabulary: Vocabulary | None = None) -> PolicySet:
    """A set from its ingredients.

    Args:
        ingredients: those.
        vocabulary: what policies may speak of; without it, only their form is checked, as before anything is hosted.

    Raises:
        PolicyInvalid: something is wrong; all of it is named, with files and lines.
        SettingsError: a capability in the settings' roles is none.
    """
    written, problems = _from_sources(ingredients)
    policies = [*written, *role_policies(ingredients.roles)]
    problems += _repeated(policies)
    problems += _roles_without_permit(policies, frozenset(ingredients.roles))
    if vocabulary is not None:
        problems += validate(written, vocabulary.actions)
        problems += check_arguments(written, vocabulary.tools)
        problems += _unknown_tiers(ingredients.tiers, vocabulary.actions)
    if problems:
        raise PolicyInvalid.of(problems)
    return PolicySet(policies, ingredients)


@functools.cache
def shipped_source() -> Source:
    """The shipped policies, `default.cedar`."""
    return Source("default.cedar", (files("cenoby.access.policy") / "default.cedar").read_text(encoding="utf-8"))


@functools.cache
def _shipped() -> tuple[Policy, ...]:
    policies, problems = read_source(shipped_source())
    assert not problems, problems
    return tuple(policies)


def role_policies(roles: Mapping[str, Sequence[str]]) -> list[Policy]:
    """The permits that the settings' roles mean; a capability is an action type, a category (`web:*`) or `*`.

    Raises:
        SettingsError: it is none of these.
    """
    return [_role_policy(role, grants) for role, grants in roles.items() if _checked(role, grants)]


def _role_policy(role: str, grants: Sequence[str]) -> Policy:
    names = sorted({grant.removesuffix(":*") for grant in grants})
    every = "*" in grants
    listed = ", ".join(f'Action::"{name}"' for name in names)
    action = "action" if every else f"action in [{listed}]"
    quoted = json.dumps(role)
    return Policy(
        id=f"settings:{role}",
        effect="permit",
        ask="",
        principal=("Role", role),
        actions=frozenset() if every else frozenset(names),
        resource=("", ""),
        test=None,
        clauses=(),
        file="settings, roles",
        line=0,
        text=f"@id({json.dumps(f'settings:{role}')})\npermit (principal in Role::{quoted}, {action}, resource);",
    )


def _checked(role: str, grants: Sequence[str]) -> Sequence[str]:
    for grant in grants:
        if not _CAPABILITY.fullmatch(grant):
            raise SettingsError(
                "settings_invalid",
                f"roles.{role}: {grant!r} is no capability; use category:action, category:* or *.",
            )
    return grants


def _from_sources(ingredients: Ingredients) -> tuple[list[Policy], list[Problem]]:
    replaced = ingredients.roles.keys()
    policies = [one for one in _shipped() if one.principal[1] not in replaced] if ingredients.shipped else []
    problems: list[Problem] = []
    for source in ingredients.sources:
        found, wrong = read_source(source)
        policies += found
        problems += wrong
    return policies, problems


def _repeated(policies: Sequence[Policy]) -> list[Problem]:
    seen: dict[str, Policy] = {}
    problems: list[Problem] = []
    for policy in policies:
        first = seen.setdefault(policy.id, policy)
        if first is not policy:
            text = f"the id is taken by the policy at {first.place}; each needs its own"
            problems.append(Problem(policy.file, policy.line, policy.id, text))
    return problems


def _roles_without_permit(policies: Sequence[Policy], settings: frozenset[str]) -> list[Problem]:
    """Forbids for a role that no permit names: misspelt, most likely, and then they would never hold."""
    known = settings | {one.principal[1] for one in policies if one.effect == "permit" and one.principal[0] == "Role"}
    problems: list[Problem] = []
    for policy in policies:
        kind, role = policy.principal
        if policy.effect == "forbid" and kind == "Role" and role not in known:
            near = difflib.get_close_matches(role, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"roles are {', '.join(sorted(known))}."
            problems.append(Problem(policy.file, policy.line, policy.id, f"no permit names the role {role!r}; {hint}"))
    return problems


def _unknown_tiers(tiers: Mapping[str, RiskTier], actions: Sequence[str]) -> list[Problem]:
    problems: list[Problem] = []
    for action in tiers:
        if action not in actions:
            near = difflib.get_close_matches(action, actions, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "docs/architecture.md lists them."
            problems.append(Problem("tiers", 0, "", f"{action!r} is no registered action type; {hint}"))
    return problems
