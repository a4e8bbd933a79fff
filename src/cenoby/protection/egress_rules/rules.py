"""Deciding whether a request may leave: the strictest rule wins, and a refusal names it.

In order: any `deny` that fits refuses; of every `only` whose people the sender is among, its requests must fit; under
`egress.default: deny` a call's request needs an `allow` or an `only` that fits. Then come the lengths of queries and
what may leave in an hour, the general limits and those of every rule that fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cenoby.kernel.clock import Clock, SystemClock
from cenoby.kernel.settings_egress import EgressRule, EgressSettings
from cenoby.protection.egress_policy import EgressRefused, Target
from cenoby.protection.egress_rules.errors import EgressSpent
from cenoby.protection.egress_rules.hours import Allowance, Hours, Over
from cenoby.protection.egress_rules.sender import Sender


@dataclass(frozen=True, slots=True)
class Leaving:
    """One request that wants to leave.

    Attributes:
        by: on whose behalf.
        method: in capitals.
        to: where to.
        query: characters of the URL's query.
        size: bytes of URL and body.
    """

    by: Sender
    method: str
    to: Target
    query: int
    size: int


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of one file.

    Attributes:
        rules: as they were read, hosts in the spelling of `Target`.
        digest: SHA-256 of the file; empty where there is none.
    """

    rules: tuple[EgressRule, ...] = ()
    digest: str = ""


class EgressDecisions:
    """The rules in force, and what has left under them.

    Args:
        settings: the default and the general limits.
        clock: the time.
    """

    def __init__(self, settings: EgressSettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._hours = Hours(clock or SystemClock())
        self._set = RuleSet()
        self.problem = ""
        """Why the newest file is not in force; empty where it is."""

    @property
    def in_force(self) -> RuleSet:
        """The rules that decide just now."""
        return self._set

    def use(self, fresh: RuleSet) -> None:
        """Decide by these from now on. What was used of a limit stays used where the rule keeps its name."""
        self._set = fresh

    def words(self) -> str:
        """What is in force, for people; and that a change was rejected, where one was."""
        words = f"default {self._settings.default}, {len(self._set.rules)} rules"
        return f"{words}; REJECTED, so the old ones hold: {self.problem}" if self.problem else words

    def check(self, leaving: Leaving) -> None:
        """Let a request out, and count it.

        Raises:
            EgressRefused: a rule, the default, or the length of its query keeps it in.
            EgressSpent: the agent has used up what may leave in an hour.
        """
        concerned = [rule for rule in self._set.rules if _is_of(rule, leaving.by)]
        fitting = [rule for rule in concerned if _fits(rule, leaving)]
        self._permit(leaving, concerned, fitting)
        self._measure(leaving, fitting)
        if leaving.by.agent:
            over = self._hours.take(list(self._allowances(leaving.by.agent, fitting)), leaving.size)
            if over is not None:
                raise _spent(leaving.by.agent, over)

    def _permit(self, leaving: Leaving, concerned: Sequence[EgressRule], fitting: Sequence[EgressRule]) -> None:
        for rule in fitting:
            if rule.effect == "deny":
                raise _forbidden(leaving, f"rule {rule.name!r} denies it")
        for rule in concerned:
            if rule.effect == "only" and rule not in fitting:
                raise _forbidden(leaving, f"rule {rule.name!r} allows other requests only")
        if self._settings.default == "allow" or (leaving.by.part and not leaving.by.agent):
            return
        if not any(rule.effect in ("allow", "only") for rule in fitting):
            raise _forbidden(leaving, "no rule allows it, and egress.default is deny")

    def _measure(self, leaving: Leaving, fitting: Sequence[EgressRule]) -> None:
        caps = [(rule.longest_query, f"rule {rule.name!r}") for rule in fitting if rule.longest_query is not None]
        for most, words in (*caps, (self._settings.longest_query, "egress.longest_query")):
            if leaving.query > most:
                raise EgressRefused(
                    "egress_query",
                    f"The URL's query has {leaving.query} characters; {words} allows {most}. Send less, or ask an "
                    "operator to allow more.",
                )

    def _allowances(self, agent: str, fitting: Sequence[EgressRule]) -> Iterator[Allowance]:
        general = self._settings
        yield Allowance(("", agent), "requests", general.requests_per_hour, "egress.requests_per_hour")
        yield Allowance(("", agent), "bytes", general.bytes_per_hour, "egress.bytes_per_hour")
        for rule in fitting:
            key, words = (rule.name, agent), f"rule {rule.name!r}"
            if rule.requests_per_hour is not None:
                yield Allowance(key, "requests", rule.requests_per_hour, words)
            if rule.bytes_per_hour is not None:
                yield Allowance(key, "bytes", rule.bytes_per_hour, words)


def _is_of(rule: EgressRule, by: Sender) -> bool:
    named = rule.agents or rule.roles or rule.tenants or rule.tools
    if not by.agent:
        return by.part in rule.parts if rule.parts or named else True
    if rule.parts and not named:
        return False
    return (
        (not rule.agents or by.agent in rule.agents)
        and (not rule.roles or not set(rule.roles).isdisjoint(by.roles))
        and (not rule.tenants or by.tenant in rule.tenants)
        and (not rule.tools or any(_covers(pattern, by.tool) for pattern in rule.tools))
    )


def _covers(pattern: str, tool: str) -> bool:
    mad = pattern.removesuffix(".*")
    return tool == mad or (mad != pattern and tool.startswith(f"{mad}."))


def _fits(rule: EgressRule, leaving: Leaving) -> bool:
    to = leaving.to
    return (
        (not rule.schemes or to.scheme in rule.schemes)
        and (not rule.ports or to.port in rule.ports)
        and (not rule.methods or leaving.method in rule.methods)
        and (not rule.hosts or any(_names(pattern, to.host) for pattern in rule.hosts))
    )


def _names(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _forbidden(leaving: Leaving, why: str) -> EgressRefused:
    return EgressRefused(
        "egress_rule",
        f"{leaving.method} {leaving.to.scheme}://{leaving.to.place} may not leave: {why}. An operator can change the "
        "file of egress.rules.",
    )


def _spent(agent: str, over: Over) -> EgressSpent:
    one = over.allowance
    code = "egress_requests" if one.unit == "requests" else "egress_bytes"
    after = f"wait {over.seconds:.0f} s" if over.seconds is not None else "this one alone is larger than that"
    return EgressSpent(
        code,
        f"{one.words} lets agent {agent!r} send {one.most} {one.unit} out in 60 minutes; {after}.",
        retry_after=over.seconds,
    )
