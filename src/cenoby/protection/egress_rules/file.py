"""Reading the file of rules."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import yaml
from pydantic import ValidationError

from cenoby.kernel.settings_egress import EgressRule, EgressRules
from cenoby.kernel.settings_file import explained
from cenoby.protection.egress_rules.errors import EgressRulesInvalid
from cenoby.protection.egress_rules.rules import RuleSet

_LARGEST = 1024 * 1024

Spell = Callable[[str], str]
"""The one spelling of a host; raises ValueError where it is none."""


def read_rules(file: Path | None, spell: Spell) -> RuleSet:
    """The rules in `file`; none where there is no file.

    Args:
        file: YAML, `rules:` and a list.
        spell: gives hosts the spelling that requests have.

    Raises:
        EgressRulesInvalid: it cannot be read, or a rule is not one; the message names the place.
    """
    if file is None:
        return RuleSet()
    text = _read(file)
    try:
        tree: object = yaml.safe_load(text)
        if not isinstance(tree, dict):
            raise _invalid(file, "it must be `rules:` and a list of them")
        found = EgressRules.model_validate(tree)
    except yaml.YAMLError as error:
        raise _invalid(file, f"not valid YAML: {error}") from None
    except ValidationError as error:
        raise _invalid(file, explained(error, EgressRules)) from None
    twice = [name for name, times in Counter(rule.name for rule in found.rules).items() if times > 1]
    if twice:
        raise _invalid(file, f"two rules are called {twice[0]!r}; each needs a name of its own")
    return RuleSet(tuple(_spelled(file, rule, spell) for rule in found.rules), hashlib.sha256(text).hexdigest())


def _spelled(file: Path, rule: EgressRule, spell: Spell) -> EgressRule:
    hosts: list[str] = []
    for host in rule.hosts:
        below = "*." if host.startswith("*.") else ""
        try:
            hosts.append(below + spell(host.removeprefix("*.")))
        except ValueError:
            raise _invalid(file, f"rule {rule.name!r}: {host!r} is no host") from None
    return rule.model_copy(update={"hosts": hosts})


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST + 1)
    except OSError as error:
        raise _invalid(file, f"cannot be read ({error.strerror})") from None
    if len(text) > _LARGEST:
        raise _invalid(file, "larger than 1 MiB")
    return text


def _invalid(file: Path, why: str) -> EgressRulesInvalid:
    return EgressRulesInvalid("egress_rules_invalid", f"{file}: {why}.")
