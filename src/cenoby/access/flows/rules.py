"""Rules over sequences, compiled: which labels they watch, and what they say of a set of labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from cenoby.access.flows.labels import TAINT
from cenoby.kernel.settings_flows import FlowRule, FlowSettings

_SECOND = 1_000_000_000


class Hit(msgspec.Struct, frozen=True):
    """A rule that a call would complete, and whether that is forbidden rather than asked for."""

    rule: str
    forbids: bool
    reason: str


class FlowRules:
    """All rules of a colony.

    Args:
        settings: the rules.
        further: labels that others go by, too.
        further_seconds: for how long these can matter.

    Attributes:
        watched: labels that some rule or the taint goes by; others are not kept.
        keep_ns: for how long a label can matter.
        scopes: where rules look beside the caller's own context.
    """

    def __init__(self, settings: FlowSettings, further: frozenset[str], further_seconds: int) -> None:
        self._rules = tuple(settings.rules)
        taint = {TAINT} if settings.taint != "off" else set[str]()
        self.watched = frozenset({label for rule in self._rules for label in rule.labels} | taint | further)
        self.keep_ns = _SECOND * max([rule.seconds for rule in self._rules] + [settings.taint_seconds, further_seconds])
        self.scopes = frozenset(rule.within for rule in self._rules)

    def hits(
        self, labels: Iterable[str], seen_in: Callable[[str], Iterable[Mapping[str, int]]], now_ns: int
    ) -> Iterator[Hit]:
        """The rules that a call with `labels` would complete.

        Args:
            labels: of the call.
            seen_in: for a scope (`window`, `conversation`, `task`), when each label was last seen there: one mapping
                for each context of that kind that the call belongs to.
            now_ns: the time.
        """
        own = frozenset(labels)
        for rule in self._rules:
            if own.isdisjoint(rule.labels if rule.order == "any" else rule.labels[-1:]):
                continue
            since_ns = now_ns - rule.seconds * _SECOND
            if any(_complete(rule, own, seen, since_ns) for seen in seen_in(rule.within)):
                yield Hit(rule.name, rule.effect == "forbid", _reason(rule))


def _complete(rule: FlowRule, own: frozenset[str], seen: Mapping[str, int], since_ns: int) -> bool:
    if rule.order == "last":
        return all(seen.get(label, 0) >= since_ns for label in rule.labels[:-1])
    return all(label in own or seen.get(label, 0) >= since_ns for label in rule.labels)


def _reason(rule: FlowRule) -> str:
    place = {"window": "by this agent", "conversation": "in this conversation", "task": "in this task"}[rule.within]
    return f"{' and '.join(rule.labels)} come together {place} within {rule.seconds} s"
