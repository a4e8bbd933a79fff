"""A colony in this process, what is done to it, and at each moment what the oracle says of that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from cenoby.access.registration import Wish
from cenoby.access.tokens import NewToken
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.kernel.clock import DAY_NS, ManualClock
from cenoby.kernel.settings_file import load_settings
from tests.whole_rule.books import KEPT_NS, Books, Charge, Request
from tests.whole_rule.rule_in_force import TIERS, Rule, Token, Verdict, Wanted, stopped, verdict
from tests.whole_rule.yard import CAST, DEFAULT, ENDS, FACTS, POLICIES, Yard, settings_on

SECONDS = 60
"""Far more than anything here takes; only a hang meets it."""
BEGIN_NS = 1_767_225_660_000_000_000
"""A minute after midnight: what is tried again within a minute never meets the next day."""


@dataclass
class Flight:
    """One call, from the moment it was made.

    Attributes:
        window: what the rule may have been while it was under way, and when.
        means: what its maker expects: the code of a refusal, `run`, or what its claim finds; empty where calls race.
        request: whose approval it used up.
    """

    wanted: Wanted
    invocation: Invocation
    window: list[tuple[Rule, int]]
    means: str = ""
    request: Request | None = None
    begun: bool = False
    judged: bool = False
    task: asyncio.Task[Outcome] = field(init=False)

    @property
    def fact(self) -> Any:
        return FACTS[self.wanted.tool]

    def verdicts(self, *, let_in: bool = False) -> list[Verdict]:
        """What the rule said meanwhile, perhaps of a call that was let in, whose token may run out."""
        wanted = replace(self.wanted, resumed=let_in)
        return [verdict(rule, wanted, self.fact, now_ns) for rule, now_ns in self.window]


class Play:
    """The colony, and what should hold of it.

    Attributes:
        rule: what is in force for sure.
        possible: what may be in force while a change is on its way.
        effects: what ran: invocation, agent, tool and arguments.
        wrong: what ran and should not have.
    """

    def __init__(self, folder: Path, tokens: Mapping[str, NewToken]) -> None:
        self.folder = folder
        self.clock = ManualClock(BEGIN_NS)
        self.gate = asyncio.Event()
        self.gate.set()
        self.books = Books()
        self.flights: dict[str, Flight] = {}
        self.effects: list[tuple[str, str, Wanted]] = []
        self.wrong: list[str] = []
        self.runs: dict[str, str] = {}
        """Invocations by which the engine ran parked calls, and the requests of these."""
        known = {made.text: Token(made.id, name, BEGIN_NS) for name, made in tokens.items()}
        self.files: dict[str, dict[str, Any] | None] = {"rules.cedar": {}, "tiers.yaml": {}}
        """What each file says that differs from the beginning; None while it is broken."""
        self.texts: list[str] = list(known)
        self.rule = Rule(CAST, known, DEFAULT + POLICIES[0])
        self.possible = [self.rule]

    @property
    def now_ns(self) -> int:
        return self.clock.now_ns()

    async def open(self) -> None:
        self._stack = AsyncExitStack()
        Yard.watched = self.seen, self.gate, self.went_on
        overrides = settings_on(self.folder)
        settings = load_settings(environment={}, overrides=overrides)
        self.colony: Colony = await self._stack.enter_async_context(open_colony(settings, self.clock))
        self.parts = self.colony.parts

    async def close(self) -> None:
        await self._stack.aclose()

    def seen(self, invocation: str, agent: str, tool: str, arguments: Mapping[str, Any]) -> None:
        """Something runs just now: may it?"""
        flight = self.flights.get(invocation)
        if flight is None:
            flight = self._resumed(invocation, agent, tool, arguments)
            if flight is None:
                self.wrong.append(f"{tool} {arguments} ran, and nobody approved it")
                return
        if flight.begun:
            self.wrong.append(f"{tool} {arguments} ran twice")
        flight.begun = True
        if agent != self.rule.tokens[flight.wanted.credential].agent:
            self.wrong.append(f"{tool} {arguments} ran as {agent}, who did not call it")
        self.effects.append((invocation, agent, flight.wanted))
        # A token that runs out ends no call that was let in; one that is revoked does.
        let_in = replace(flight.wanted, resumed=True)
        found = [verdict(rule, let_in, flight.fact, self.now_ns) for rule in self.possible]
        if not any(self._lets(flight, agent, one) for one in found):
            self.wrong.append(f"{agent}: {tool} {arguments} ran, and the rule in force says {found}")

    def went_on(self, invocation: str) -> None:
        """Something that ran goes on: it may not where it was stopped meanwhile."""
        flight = self.flights.get(invocation)
        if flight is None or flight.judged:
            return
        # Of calls that race with a switch, it is known for sure only once that is there.
        if self.killed(flight) if flight.means else len(self.possible) == 1 and self._stopped(self.rule, flight):
            self.wrong.append(f"{flight.wanted.tool} {flight.wanted.arguments} went on, and a kill switch stopped it")

    def _lets(self, flight: Flight, agent: str, says: Verdict) -> bool:
        if says.says != "ask":
            return says.says == "run"
        if flight.request is not None:
            return flight.request.covers(says)
        if flight.means:
            return flight.means == "granted"
        return self.books.approved(agent, flight.wanted, [says], self.now_ns)

    def _resumed(self, invocation: str, agent: str, tool: str, arguments: Mapping[str, Any]) -> Flight | None:
        for request in self.books.same(agent, Wanted("", tool, arguments)):
            if request.status == "approved" and request.open_at(self.now_ns):
                break
        else:
            return None
        cut = set() if self.gate.is_set() else {"mad_stopped", "token_revoked"}
        request.spent, request.ran = True, frozenset({ENDS[str(arguments["end"])], *cut})
        request.kept_until_ns = self.now_ns + KEPT_NS
        old = request.wanted
        wanted = Wanted(old.credential, old.tool, old.arguments, old.conversation, resumed=True)
        made = Invocation(tool, dict(arguments), old.credential)
        flight = Flight(wanted, made, [(rule, self.now_ns) for rule in self.possible], "run", request, judged=True)
        self.flights[invocation] = flight
        self.books.charges.pop(request.id, None)
        self.charge(invocation, wanted, spent=self.gate.is_set())
        return flight

    def charge(self, name: str, wanted: Wanted, *, spent: bool) -> None:
        """Charge what a call may cost, or what it has cost."""
        bound, said = wanted.arguments.get("amount", 0), wanted.arguments.get("spend")
        amount = said if spent and said is not None else bound
        if bound:
            agent = self.rule.tokens[wanted.credential].agent
            day = self.now_ns // DAY_NS
            if (held := self.books.charges.get(name)) is not None:
                day = held.day
            self.books.charges[name] = Charge(agent, self.rule.agents[agent].tenant, day, amount)

    def make(self, credential: str, tool: str, arguments: Mapping[str, Any], conversation: str = "") -> Flight:
        """Make a call and let it go its way."""
        invocation = Invocation(tool, dict(arguments), credential, conversation=conversation)
        wanted = Wanted(credential, tool, arguments, conversation)
        flight = Flight(wanted, invocation, [(rule, self.now_ns) for rule in self.possible])
        self.flights[invocation.id] = flight
        return flight

    def go(self, flight: Flight) -> Flight:
        flight.task = asyncio.create_task(self.parts.pipeline.run(flight.invocation))
        return flight

    async def ended(self, flight: Flight) -> Outcome:
        async with asyncio.timeout(SECONDS):
            return await flight.task

    async def placed(self, flight: Flight) -> None:
        """Wait until the call has ended, or is at its MAD, where the gate holds it."""
        at_yard = flight.wanted.mad in ("yard", "shed")
        before_dispatch = self.parts.pipeline.way_in[-2].name
        async with asyncio.timeout(SECONDS):
            while not flight.task.done():
                marks = flight.invocation.marks
                if at_yard and not self.gate.is_set() and marks and marks[-1][0] == before_dispatch:
                    return
                await asyncio.sleep(0.0005)

    async def changes(self, new: Rule, work: Awaitable[Any]) -> Any:
        """Something changes the rule: while it does, either may be in force, and afterwards only the new one."""
        self._may_be([self.rule, new])
        result = await work
        self.rule = new
        self._may_be([new])
        return result

    def corrects(self, rule: Rule) -> None:
        """What is in force is known better."""
        self.rule = rule
        self._may_be([rule])

    def _may_be(self, rules: list[Rule]) -> None:
        self.possible = rules
        for flight in self.under_way():
            flight.window += [(rule, self.now_ns) for rule in rules]

    def under_way(self) -> list[Flight]:
        return [one for one in self.flights.values() if not one.judged]

    def write_file(self, name: str, text: str) -> None:
        """Put a file in the place of another one in one step."""
        fresh = self.folder / f"{name}.new"
        fresh.write_text(text)
        fresh.replace(self.folder / name)

    async def look_at_files(self) -> None:
        """Two looks that see the same, which is what a change takes to be believed."""
        await self.parts.policies.look()
        await self.parts.policies.look()

    def killed(self, flight: Flight) -> bool:
        """Whether it was stopped for sure while it was under way."""
        return any(self._stopped(rule, flight) for rule, _ in flight.window[1:])

    def _stopped(self, rule: Rule, flight: Flight) -> bool:
        agent = self.rule.tokens[flight.wanted.credential].agent
        return stopped(rule, agent, flight.wanted.tool, flight.fact.action)

    async def to_do(self) -> list[int]:
        """When the engine is to go on with each of the parked calls that do not wait for a person; 0 is at once."""
        rows = await self.parts.database.read(
            lambda connection: connection.execute(
                "SELECT owner, due_ns FROM workflows WHERE status = 'open' AND (owner <> '' OR due_ns IS NOT NULL)"
            ).fetchall()
        )
        return [0 if owner or due_ns <= self.now_ns else due_ns for owner, due_ns in rows]

    async def settle(self) -> None:
        """Wait until the engine has done what is due, and what it wants to try again within a minute."""
        async with asyncio.timeout(SECONDS):
            while True:
                self.parts.ports.approvals.flow.workflows.nudge()
                times = await self.to_do()
                if 0 in times:
                    await asyncio.sleep(0.002)
                elif any(due_ns <= self.now_ns + 61 * 10**9 for due_ns in times):
                    self.clock.advance(1)
                else:
                    return


async def first_data(folder: Path) -> dict[str, NewToken]:
    """Make a data directory with everybody of the cast in it; their tokens by name."""
    Yard.watched = (lambda *_: None), asyncio.Event(), (lambda _: None)
    (folder / "rules.cedar").write_text(POLICIES[0])
    (folder / "tiers.yaml").write_text("{}")
    settings = load_settings(environment={}, overrides=settings_on(folder))
    tokens: dict[str, NewToken] = {}
    async with open_colony(settings, ManualClock(BEGIN_NS)) as colony:
        identities = colony.parts.ports.identities
        for name, who in CAST.items():
            wish = Wish(
                name=name,
                roles=who.roles,
                tenant=who.tenant,
                kind="person" if who.kind == "person" else "agent",
                department=who.department or None,
                seniority="junior" if who.seniority else None,
            )
            tokens[name] = await identities.issue(wish)
    return tokens


def tiers_text(tiers: Mapping[str, str]) -> str:
    return yaml.safe_dump(dict(tiers))


def tiers_of(tiers: Mapping[str, str]) -> dict[str, int]:
    return {action: TIERS[word] for action, word in tiers.items()}


def plain(outcome: Outcome) -> Any:
    return json.loads(outcome.json or b"null")


Alter = Callable[[Rule], Rule]
