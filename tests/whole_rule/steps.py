"""What may happen in a colony: calls, everything that changes the rule, decisions, time, and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tests.whole_rule.books import Request
from tests.whole_rule.judging import RUNS, due, expect, judge, judge_racing, note_runs
from tests.whole_rule.play import SECONDS, Flight, Play, plain, tiers_of, tiers_text
from tests.whole_rule.rule_in_force import LEVELS, Rule, Token, Wanted, verdict
from tests.whole_rule.yard import (
    BROKEN_POLICIES,
    BROKEN_TIERS,
    CAST,
    DEFAULT,
    FACTS,
    POLICIES,
    TIER_FILES,
)  # fmt: skip

HOUR_NS = 3_600_000_000_000
Change = tuple[str, str, dict[str, Any], Callable[[Rule, Any], Rule]]
"""Who changes it, by which of Grace's tools, with which arguments, and what the rule is then."""


class Step(Protocol):
    """One thing that happens."""

    async def take(self, play: Play) -> None: ...


@dataclass(frozen=True)
class Work:
    """A call in the yard. `held` closes the gate first, so that it is under way while the next steps are taken."""

    who: str
    token: int
    tool: str
    key: str
    end: str
    amount: int
    spend: int | None
    conversation: str
    held: bool = False

    async def take(self, play: Play) -> None:
        if self.held:
            play.gate.clear()
        wanted = self.wanted(play)
        agent = play.rule.tokens[wanted.credential].agent
        if any(one.under_way for one in play.books.same(agent, wanted)):
            return  # the answer would be that it runs just now, after five seconds
        flight = play.make(wanted.credential, wanted.tool, wanted.arguments, wanted.conversation)
        means = expect(play, flight)
        play.go(flight)
        await play.placed(flight)
        if flight.task.done() or means not in RUNS:
            await judge(play, flight)

    def wanted(self, play: Play) -> Wanted:
        texts = [text for text in play.texts if play.rule.tokens[text].agent == self.who]
        arguments: dict[str, Any] = {"key": self.key, "end": self.end}
        if self.tool.endswith("buy"):
            spend = None if self.spend is None else min(self.spend, self.amount)
            arguments |= {"amount": self.amount, "spend": spend}
        # The newest is the likeliest to work.
        return Wanted(texts[-1 - self.token % len(texts)], self.tool, arguments, self.conversation)


@dataclass(frozen=True)
class Release:
    """The gate opens, and everything that was under way ends."""

    async def take(self, play: Play) -> None:
        await release(play)


async def release(play: Play) -> None:
    """Let go of what the gate holds."""
    play.gate.set()
    for flight in play.under_way():
        await judge(play, flight)
    await play.settle()
    for one in play.books.requests:
        one.under_way = False
        if one.spent:
            play.books.charges.pop(one.id, None)
    for name, flight in play.flights.items():
        if name in play.books.charges and flight.wanted.resumed:
            play.charge(name, flight.wanted, spent=True)
    for one in play.books.requests:
        if not one.spent:
            play.books.charges.pop(one.id, None)
    await note_runs(play)


@dataclass(frozen=True)
class Alter:
    """Somebody changes the rule by a tool of Grace's, or tries to."""

    what: str
    by: str
    name: str
    number: int

    async def take(self, play: Play) -> None:
        change = self.fitted().change(play)
        if change is not None:
            await changed(play, change)

    def fitted(self) -> Alter:
        """The same by a person of the tenant that it concerns; an agent that tries it stays who it is."""
        own = CAST[self.name].tenant
        if CAST[self.by].kind != "person" or CAST[self.by].tenant == own or self.what == "kill":
            return self
        return replace(self, by="ola" if own == "default" else "boss")

    def change(self, play: Play) -> Change | None:
        """What is to be done; None where there is nothing to do it to."""
        return CHANGES[self.what](self, play)

    def text(self, play: Play) -> str:
        """The token of who does it."""
        return next(text for text in play.texts if play.rule.tokens[text].agent == self.by)

    def tenant(self) -> str:
        return CAST[self.by].tenant


async def changed(play: Play, change: Change) -> None:
    """Make the change where the rule lets its maker, and see that it is refused otherwise."""
    credential, tool, arguments, alter = change
    flight = play.make(credential, tool, arguments)
    means = expect(play, flight)
    if means not in RUNS:
        if means == "park":
            # An agent's own level leaves it to a person; what is tried here is done at once or not at all.
            play.flights.pop(flight.invocation.id)
            return
        play.go(flight)
        await judge(play, flight)
        return
    before = play.rule
    flight.judged = True
    outcome = await play.changes(alter(before, None), play.ended(play.go(flight)))
    if outcome.error is not None:
        play.wrong.append(f"{tool} {arguments}: refused with {outcome.error.code}, and the rule lets it through")
        play.corrects(before)
    else:
        play.corrects(alter(before, plain(outcome)))
        play.texts += [text for text in play.rule.tokens if text not in play.texts]


def _kill(step: Alter, play: Play) -> Change | None:
    scope, name = {
        "agent": ("agent", step.name), "mad": ("mad", ("yard", "shed")[step.number % 2]),
        "tool": ("tool", f"mads.yard.{('note', 'send', 'look', 'buy')[step.number % 4]}"),
        "tenant": ("tenant", CAST[step.name].tenant), "all": ("all", ""),
    }[("agent", "mad", "tool", "tenant", "all")[step.number % 5]]  # fmt: skip
    own = "" if step.tenant() == "default" else step.tenant()
    if scope == "agent" and (CAST[name].tenant != step.tenant() or name == step.by):
        return None  # who stops themselves cuts off the very call that does it
    if own and scope in ("all", "tenant") and name != own:
        return None
    tenant, kept = (name, "all") if scope == "tenant" else (own, scope)
    key = (tenant, kept, "" if kept == "all" else name)
    arguments = {"scope": scope, "name": name, "reason": "it drifts"}
    alter = lambda rule, _: replace(rule, kills=rule.kills | {key})  # noqa: E731
    return step.text(play), "mads.grace.throw_kill_switch", arguments, alter


def _lift(step: Alter, play: Play) -> Change | None:
    kills = sorted(play.rule.kills)
    if not kills:
        return None
    key = tenant, scope, name = kills[step.number % len(kills)]
    by = "pia" if tenant in ("", "default") else "chief"
    if scope == "all" and tenant:
        scope, name = "tenant", tenant
    arguments = {"scope": scope, "name": name}
    text = replace(step, by=by).text(play)
    return text, "mads.grace.lift_kill_switch", arguments, lambda rule, _: replace(rule, kills=rule.kills - {key})


def _level(step: Alter, play: Play) -> Change | None:
    tenant = step.tenant()
    agent = step.name if CAST[step.name].tenant == tenant and CAST[step.name].kind != "person" else ""
    scope, name = (("agent", agent), ("department", "lab"), ("company", ""))[step.number % 3]
    level = (*LEVELS, "inherit", "full")[step.number // 3 % 6]
    if (scope == "agent" and not agent) or (name == "kid" and level == "full"):
        return None
    key = (tenant, scope, name)
    arguments = {"scope": scope, "name": name, "level": level, "reason": "a try"}

    def alter(rule: Rule, _: Any) -> Rule:
        levels = {one: kept for one, kept in rule.levels.items() if one != key}
        return replace(rule, levels=levels if level == "inherit" else {**levels, key: level})

    return step.text(play), "mads.grace.set_autonomy", arguments, alter


def _revoke(step: Alter, play: Play) -> Change | None:
    texts = [text for text in play.texts if play.rule.tokens[text].agent == step.name]
    text = texts[-1 - step.number % len(texts)]
    if CAST[step.name].tenant != step.tenant() or play.rule.agents[step.name].kind == "person":
        return None
    ended = replace(play.rule.tokens[text], revoked=True)
    arguments = {"token_id": ended.id}
    return step.text(play), "mads.grace.revoke_token", arguments, lambda rule, _: rule.with_token(text, ended)


ROLES = (("developer",), ("hand",), ("observer",), ("developer", "hand"))


def _token(step: Alter, play: Play) -> Change | None:
    """A new token, perhaps with other roles for its agent."""
    agent = play.rule.agents[step.name]
    if agent.tenant != step.tenant() or agent.kind == "person":
        return None
    roles = ROLES[step.number % 4] if step.number % 3 == 0 else agent.roles
    hours = (None, 1, 30)[step.number // 4 % 3]
    arguments: dict[str, Any] = {"agent": step.name, "roles": list(roles), "replace_roles": True}
    arguments |= {"forever": True} if hours is None else {"ttl_hours": hours}
    now_ns = play.now_ns

    def alter(rule: Rule, made: Any) -> Rule:
        rule = replace(rule, agents={**rule.agents, step.name: replace(agent, roles=tuple(sorted(roles)))})
        if made is None:
            return rule
        until_ns = None if hours is None else now_ns + hours * HOUR_NS
        return rule.with_token(made["token"], Token(made["token_id"], step.name, now_ns, until_ns))

    return step.text(play), "mads.grace.create_token", arguments, alter


def _rotate(step: Alter, play: Play) -> Change | None:
    texts = [text for text in play.texts if play.rule.tokens[text].agent == step.name]
    text = texts[-1 - step.number % len(texts)]
    old, now_ns, grace = play.rule.tokens[text], play.now_ns, (0, 600)[step.number % 2]
    if old.rotated or CAST[step.name].kind == "person":
        return None
    end_ns = now_ns + grace * 10**9
    end_ns = end_ns if old.expires_ns is None else min(end_ns, old.expires_ns)

    def alter(rule: Rule, made: Any) -> Rule:
        rule = rule.with_token(text, replace(old, expires_ns=end_ns, rotated=True))
        if made is None:
            return rule
        until_ns = None if old.expires_ns is None else now_ns + old.expires_ns - old.created_ns
        return rule.with_token(made["token"], Token(made["token_id"], old.agent, now_ns, until_ns))

    return text, "mads.grace.rotate_token", {"grace_seconds": grace}, alter


CHANGES: Mapping[str, Callable[[Alter, Play], Change | None]] = {
    "kill": _kill, "lift": _lift, "level": _level, "revoke": _revoke, "token": _token, "rotate": _rotate,
}  # fmt: skip


@dataclass(frozen=True)
class Reload:
    """Another policy file or tiers file is put in place, a good one or a broken one."""

    what: str
    number: int

    async def take(self, play: Play) -> None:
        name, text, says = self.file()
        play.write_file(name, text)
        play.files[name] = says
        new = play.rule
        if None not in play.files.values():
            # Both files are one set, which is taken over as a whole or not at all.
            for one in play.files.values():
                new = replace(new, **(one or {}))
        await play.changes(new, play.look_at_files())

    def file(self) -> tuple[str, str, dict[str, Any] | None]:
        """The file, its text, and what it says; None for one that is broken."""
        number = self.number
        match self.what:
            case "policies":
                text = POLICIES[number % len(POLICIES)]
                return "rules.cedar", text, {"policies": DEFAULT + text}
            case "tiers":
                tiers = TIER_FILES[number % len(TIER_FILES)]
                return "tiers.yaml", tiers_text(tiers), {"tiers": tiers_of(tiers)}
            case "broken policies":
                return "rules.cedar", BROKEN_POLICIES[number % len(BROKEN_POLICIES)], None
            case _:
                return "tiers.yaml", BROKEN_TIERS[number % len(BROKEN_TIERS)], None


async def mended_files(play: Play) -> None:
    """Put files in place that say what is in force, so that a colony starts with them."""
    words = {action: ("low", "medium", "high", "critical")[tier - 1] for action, tier in play.rule.tiers.items()}
    play.write_file("rules.cedar", play.rule.policies.removeprefix(DEFAULT))
    play.write_file("tiers.yaml", tiers_text(words))
    play.files = {"rules.cedar": {"policies": play.rule.policies}, "tiers.yaml": {"tiers": play.rule.tiers}}
    await play.look_at_files()


@dataclass(frozen=True)
class Race:
    """Calls that are made at the same time as one another, and as a change."""

    works: tuple[Work, ...]
    change: Alter | Reload | Decide

    async def take(self, play: Play) -> None:
        await release(play)
        before: dict[str, tuple[int, int]] = {}
        flights: list[Flight] = []
        for work in self.works:
            wanted = replace(work, held=False).wanted(play)
            flight = play.make(wanted.credential, wanted.tool, wanted.arguments, wanted.conversation)
            agent = play.rule.tokens[wanted.credential].agent
            tenant, books = play.rule.agents[agent].tenant, play.books
            quota = books.quota_left(agent, tenant, wanted.tool, flight.fact, play.now_ns)
            before[flight.invocation.id] = quota, books.money_left(agent, tenant, play.now_ns)
            flights.append(flight)
        for flight in flights:
            play.go(flight)
        await asyncio.sleep(0)
        await self.change.take(play)
        await judge_racing(play, flights, before)
        await play.settle()
        await note_runs(play)


@dataclass(frozen=True)
class Decide:
    """A person decides a request, or tries to."""

    number: int
    by: str
    yes: bool
    scope: tuple[str, int, bool]

    async def take(self, play: Play) -> None:
        if not play.books.requests:
            return
        request = play.books.requests[-1 - self.number % len(play.books.requests)]
        kind, minutes, anything = self.scope
        arguments: dict[str, Any] = {"approval_id": request.id, "reason": "because"}
        if self.yes:
            arguments |= {"scope": kind, "minutes": minutes, "any_arguments": anything}
        text = next(text for text in play.texts if play.rule.tokens[text].agent == self.by)
        flight = play.make(text, f"mads.grace.{'approve' if self.yes else 'deny'}", arguments)
        means = expect(play, flight)
        if means not in RUNS:
            await judge(play, play.go(flight))
            return
        flight.judged = True
        racing = any(not one.judged for one in play.flights.values()) and play.gate.is_set()
        problems = play.books.why_not(request, self.by, CAST[self.by].tenant, self.yes, self.scope, play.now_ns)
        if not problems:
            # The engine may have it before who decides has the answer.
            play.books.decide(request, self.by, self.yes, self.scope, play.now_ns)
        await self._ended(play, flight, request, problems, racing=racing)

    async def _ended(self, play: Play, flight: Flight, request: Request, problems: set[str], *, racing: bool) -> None:
        ready = [] if problems or racing else due(play)
        placed = sum(one.running + one.waiting for one in play.parts.ports.host.mailbox_states().values())
        outcome = await play.ended(play.go(flight))
        code = outcome.error.code if outcome.error else ""
        if code != "" if not problems else code not in problems:
            play.wrong.append(f"{self}: came to {code!r}, and should come to {problems or 'a decision'}")
        if play.gate.is_set():
            await after_engine(play, ready)
            return
        if request.status == "approved" and not problems:
            request.tried = request.under_way = True
            await _engine_placed(play, placed)
            if not request.spent:
                play.charge(request.id, request.wanted, spent=False)
            await note_runs(play)


async def _engine_placed(play: Play, placed: int) -> None:
    """Wait until the engine's run is held at the gate, or has ended before that."""
    async with asyncio.timeout(SECONDS):
        while 0 in await play.to_do():
            states = play.parts.ports.host.mailbox_states()
            if sum(one.running + one.waiting for one in states.values()) > placed:
                return
            await asyncio.sleep(0.002)


async def after_engine(play: Play, ready: list[tuple[Request, bool]]) -> None:
    """Let the engine do what is due, and see that it ran what it should have run, and nothing else."""
    await play.settle()
    for request, runs in ready:
        request.tried = True
        if len(ready) == 1 and request.spent is not runs:
            play.wrong.append(f"{request}: the engine {'ran' if request.spent else 'did not run'} it")
    await note_runs(play)


@dataclass(frozen=True)
class LetGo:
    """A caller wants its parked call no more, or a person takes a grant back."""

    number: int
    cancels: bool

    async def take(self, play: Play) -> None:
        if not play.books.requests:
            return
        request = play.books.requests[-1 - self.number % len(play.books.requests)]
        if self.cancels:
            text, tool = request.wanted.credential, "mads.grace.cancel_parked"
        else:
            by = "pia" if request.tenant == "default" else "chief"
            text = next(text for text in play.texts if play.rule.tokens[text].agent == by)
            tool = "mads.grace.revoke_approval"
        if verdict(play.rule, Wanted(text, tool, {}), FACTS[tool], play.now_ns).says == "ask":
            return
        flight = play.make(text, tool, {"approval_id": request.id})
        if expect(play, flight) not in RUNS:
            await judge(play, play.go(flight))
            return
        flight.judged = True
        outcome = await play.ended(play.go(flight))
        code = outcome.error.code if outcome.error else ""
        wanted = "approval_decided" if self.cancels and request.status != "pending" else ""
        if code != wanted:
            play.wrong.append(f"{self}: came to {code!r}, and should come to {wanted!r}")
        elif self.cancels and not wanted:
            request.status = "cancelled"
        for grant in [] if self.cancels else request.grants:
            grant.revoked = True
        if play.gate.is_set():
            await play.settle()


@dataclass(frozen=True)
class Wait:
    """Time passes, with nothing under way."""

    minutes: int

    async def take(self, play: Play) -> None:
        await release(play)
        play.clock.advance(self.minutes * 60)
        play.books.pass_time(play.now_ns)
        await after_engine(play, due(play))


@dataclass(frozen=True)
class Restart:
    """The colony ends and begins again, on the same data."""

    async def take(self, play: Play) -> None:
        await release(play)
        await mended_files(play)
        await play.close()
        await play.open()
