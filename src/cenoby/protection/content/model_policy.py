"""Which models who may show which class of data to."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from cenoby.kernel.settings import ModelSettings
from cenoby.kernel.settings_content import ContentSettings, ModelRule
from cenoby.protection.addresses import parse_address

NOT_ALLOWED = "closed"
"""Said in the place of a rule's name where none allows it."""


class ModelFacts(NamedTuple):
    """What the rules know of a model; provider and region are empty where nobody said."""

    name: str
    provider: str
    region: str
    local: bool


class Asker(NamedTuple):
    """Who wants to ask a model."""

    tenant: str
    agent: str
    roles: tuple[str, ...]


def facts_of(models: Sequence[ModelSettings]) -> tuple[ModelFacts, ...]:
    """What the settings say of each model, in their order."""
    return tuple(
        ModelFacts(one.name, one.provider, one.region, _is_local(one.url) if one.local is None else one.local)
        for one in models
    )


class ModelPolicy:
    """The rules in force.

    Args:
        settings: the classes, and from which on data is closed.
        rules: the rules; they may come from a file.
        models: those that can be asked, in the order in which one is chosen.
    """

    def __init__(self, settings: ContentSettings, rules: Sequence[ModelRule], models: Sequence[ModelFacts]) -> None:
        self._rank = {name: rank for rank, name in enumerate(settings.classes)}
        self._closed = self._rank[settings.closed_from or settings.classes[-1]]
        self._rules = tuple(rules)
        self._models = tuple(models)

    def facts(self, name: str) -> ModelFacts:
        """What is known of a model; of one that is not in the settings, its name and that it is far away."""
        return next((one for one in self._models if one.name == name), ModelFacts(name, "", "", local=False))

    def why_not(self, asker: Asker, data_class: str, model: ModelFacts) -> str:
        """The rule that keeps a model from data of a class (`closed`: none allows it); empty where it may see it."""
        rank, allowed = self._rank[data_class], False
        for rule in self._rules:
            if not _is_asked_by(rule, asker):
                continue
            if rule.forbid_from is not None:
                if rank >= self._rank[rule.forbid_from] and _fits(rule, model, unknown=True):
                    return rule.name
            elif rule.allow_up_to is not None and rank <= self._rank[rule.allow_up_to]:
                allowed = allowed or _fits(rule, model, unknown=False)
        return "" if allowed or rank < self._closed else NOT_ALLOWED

    def allowed(self, asker: Asker, data_class: str) -> list[str]:
        """Names of all models that may see data of a class, in order."""
        return [one.name for one in self._models if not self.why_not(asker, data_class, one)]

    @property
    def default(self) -> str:
        """The model that answers where none is named; empty where there is none."""
        return self._models[0].name if self._models else ""


def _is_asked_by(rule: ModelRule, asker: Asker) -> bool:
    return (
        _any(asker.agent, rule.agents)
        and _any(asker.tenant, rule.tenants)
        and (rule.roles == ["*"] or any(_any(role, rule.roles) for role in asker.roles))
    )


def _fits(rule: ModelRule, model: ModelFacts, *, unknown: bool) -> bool:
    """Whether a rule speaks of a model; `unknown` is what counts where a fact that it asks for was not said."""
    return (
        _any(model.name, rule.models)
        and (rule.local is None or rule.local == model.local)
        and _known(model.provider, rule.providers, unknown=unknown)
        and _known(model.region, rule.regions, unknown=unknown)
    )


def _known(fact: str, patterns: Sequence[str], *, unknown: bool) -> bool:
    if not fact and "*" not in patterns:
        return unknown
    return _any(fact, patterns)


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, one) for one in patterns)


def _is_local(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    address = parse_address(host)
    if address is None:
        # A name may lead anywhere tomorrow, so it is local only where the settings say so.
        return host == "localhost"
    return address.is_loopback or any(address in one for one in _OWN if one.version == address.version)


_OWN = [ip_network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]
"""Addresses that lead nowhere but into one's own network (RFC 1918, RFC 4193)."""
