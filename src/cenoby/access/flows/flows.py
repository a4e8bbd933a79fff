"""Policy over sequences: what a call would complete, what it adds to its context, and what its result brings with it.

`check` runs before a call is decided, `follow` once it may run and before it does, `learn` before its result is
answered. A person's own calls are not held to any of it: what persons say is what trust is measured by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cenoby.access.actions import RiskTier
from cenoby.access.flows.contexts import Context, ContextKey, Contexts, Due
from cenoby.access.flows.labels import TAINT, ToolFlow
from cenoby.access.flows.prose import fold
from cenoby.access.flows.provenance import Provenance
from cenoby.access.flows.rules import FlowRules
from cenoby.access.flows.taint import Deed, doubt
from cenoby.access.flows.values import leaves
from cenoby.access.principals import Principal
from cenoby.access.roles import AccessRefused
from cenoby.access.verdicts import Ask
from cenoby.kernel.clock import Clock
from cenoby.kernel.settings_flows import FlowSettings
from cenoby.store.table_cache import TableCache

EVERYWHERE = "*"
"""The place of what is left at no place by name."""
_MOST_PLACES = 32
_QUICK_BYTES = 4096
_SECOND = 1_000_000_000


class Step:
    """One call on its way through the flows: made by `check`, and given to `follow` and `learn`."""

    __slots__ = ("agent", "arguments", "asked", "flow", "labels", "person", "task", "tenant")

    def __init__(
        self, principal: Principal, flow: ToolFlow, labels: tuple[str, ...], arguments: dict[str, Any], task: str
    ) -> None:
        self.tenant = principal.tenant
        self.agent = principal.agent
        self.person = principal.kind == "person"
        self.flow = flow
        self.labels = labels
        self.arguments = arguments
        self.task = task
        self.asked: frozenset[str] = frozenset()


class Flows:
    """The flows of a colony.

    Args:
        cache: keeps the labels.
        clock: the time.
        settings: the rules, and what taint does.
        further: labels that others go by, too (`labels_of`).
        further_seconds: for how long these can matter.
    """

    def __init__(
        self,
        cache: TableCache,
        clock: Clock,
        settings: FlowSettings,
        *,
        further: frozenset[str] = frozenset(),
        further_seconds: int = 0,
    ) -> None:
        self._clock = clock
        self._rules = FlowRules(settings, further, further_seconds)
        self._taint = settings.taint
        self._taint_ns = settings.taint_seconds * _SECOND
        self._contexts = Contexts(cache, clock, self._rules.keep_ns, settings.max_labels)

    def watched(self, flow: ToolFlow) -> tuple[str, ...]:
        """Those labels of a tool that matter here."""
        return tuple(label for label in flow.labels if label in self._rules.watched)

    def labels_of(self, principal: Principal, seconds: int) -> tuple[str, ...]:
        """The labels that came to an agent within that many seconds, sorted; only `watched` ones are known.

        Raises:
            StoreUnavailable: store_cold: the labels were not read yet.
        """
        context = self._contexts.find(ContextKey(principal.tenant, "agent", principal.agent))
        since_ns = self._clock.now_ns() - seconds * _SECOND
        return tuple(sorted(label for label, seen in context.labels.items() if seen >= since_ns)) if context else ()

    def is_tainted(self, principal: Principal) -> bool:
        """Whether an agent has read content from outside, and that still counts.

        Raises:
            StoreUnavailable: store_cold: the labels were not read yet.
        """
        return TAINT in self.labels_of(principal, self._taint_ns // _SECOND)

    def was_said_by_person(self, principal: Principal, passage: str) -> bool:
        """Whether a person said this passage to an agent, word for word; False where that is not known."""
        context = self._contexts.find(ContextKey(principal.tenant, "agent", principal.agent))
        if context is None or context.provenance is None:
            return False
        return context.provenance.find(fold(passage)).origin == "trusted"

    def check(
        self, principal: Principal, flow: ToolFlow, labels: tuple[str, ...], arguments: dict[str, Any], task: str
    ) -> tuple[Step | None, tuple[Ask, ...]]:
        """What a call would complete.

        Args:
            principal: who calls.
            flow: the tool.
            labels: those of it that are `watched`.
            arguments: of the call, plain JSON types.
            task: id that the calls of one task share; empty where there is none.

        Returns:
            The step to go on with (None where nothing flows), and why a person must decide the call.

        Raises:
            AccessRefused: flow_forbidden.
            StoreUnavailable: store_cold: the labels were not read yet.
        """
        context = self._contexts.find(ContextKey(principal.tenant, "agent", principal.agent))
        if not labels and not flow.place and (context is None or not flow.acts):
            return None, ()
        step = Step(principal, flow, labels, arguments, task)
        if step.person:
            return (step if flow.place else None), ()
        now_ns = self._clock.now_ns()
        asks = self._hits(step, context, now_ns)
        step.asked = frozenset(ask.by for ask in asks)
        if flow.acts and context is not None and (reason := self._tainted(context, step, now_ns)):
            asks.append(Ask("flow:taint", reason))
        return step, tuple(asks)

    async def follow(self, step: Step) -> None:
        """The call runs next: its labels are in its contexts, durable, when this returns.

        Raises:
            AccessRefused: flow_forbidden, or flow_changed: since `check`, something else came to pass.
            LimitExceeded: flows_full.
            StoreUnavailable: the labels could not be made durable.
        """
        if step.person:
            self._hear_person(step)
            return
        now_ns = self._clock.now_ns()
        context = self._contexts.find(ContextKey(step.tenant, "agent", step.agent))
        if any(ask.by not in step.asked for ask in self._hits(step, context, now_ns)):
            raise AccessRefused(
                "flow_changed",
                "Another call of this agent ended meanwhile, and together they need a person; repeat it.",
            )
        due: list[Due] = []
        if step.labels:
            context = self._contexts.get(ContextKey(step.tenant, "agent", step.agent))
            due = self._contexts.note(self._affected(step, context), dict.fromkeys(step.labels, now_ns))
        if step.flow.place and step.flow.acts and context is not None:
            due += self._post(step, context, now_ns)
        await self._contexts.write(due)

    async def learn(self, step: Step, result: Any, size: int) -> None:
        """The call ran: take what its result brings with it, before it is answered.

        Args:
            step: of the call.
            result: plain JSON types.
            size: its bytes as JSON.

        Raises:
            LimitExceeded: flows_full.
            StoreUnavailable: the labels could not be made durable; the result is not to be answered.
        """
        flow = step.flow
        if step.person or not (flow.foreign or (flow.place and not flow.acts)):
            return
        context = self._contexts.get(ContextKey(step.tenant, "agent", step.agent))
        if flow.foreign and self._taint == "values":
            await self._read(context, " ".join(flow.words), result, size)
        if not flow.place or flow.acts:
            return
        due: list[Due] = []
        for place in list(self._places_read(step)):
            self._touch(context, place)
            due += self._contexts.note(self._affected(step, context), self._living(place, self._clock.now_ns()))
            self._merge(context, place)
            context.lost_ns = max(context.lost_ns, place.lost_ns)
        await self._contexts.write(due)

    def _hits(self, step: Step, context: Context | None, now_ns: int) -> list[Ask]:
        if not step.labels:
            return []

        def seen_in(scope: str) -> Iterable[Mapping[str, int]]:
            if scope == "window":
                return [context.labels if context is not None else {}]
            return [one.labels for one in self._of_scope(step, context, scope)]

        asks: list[Ask] = []
        for hit in self._rules.hits(step.labels, seen_in, now_ns):
            if hit.forbids:
                raise AccessRefused(
                    "flow_forbidden", f"The rule {hit.rule!r} forbids it: {hit.reason}.", details={"rule": hit.rule}
                )
            asks.append(Ask(f"flow:{hit.rule}", hit.reason))
        return asks

    def _of_scope(self, step: Step, context: Context | None, scope: str) -> Iterator[Context]:
        if scope == "task" and step.task:
            yield self._contexts.get(ContextKey(step.tenant, "task", step.task))
        if scope == "conversation":
            keys = dict.fromkeys(context.places if context is not None else ())
            if step.flow.place:
                keys[self._place(step)] = None
            yield from map(self._contexts.get, keys)

    def _affected(self, step: Step, context: Context) -> list[Context]:
        """Who sees what the call's agent sees: where rules look at them, its task and conversations, too."""
        return [
            context,
            *(one for scope in self._rules.scopes - {"window"} for one in self._of_scope(step, context, scope)),
        ]

    def _tainted(self, context: Context, step: Step, now_ns: int) -> str:
        since_ns = now_ns - self._taint_ns
        if self._taint == "off" or context.labels.get(TAINT, 0) < since_ns:
            if context.provenance is not None:
                context.provenance.clear_foreign()
            return ""
        flow = step.flow
        if flow.place and flow.risk <= RiskTier.LOW:
            # What is left at a place is tainted there, and so is who reads it.
            return ""
        if self._taint == "context":
            return "the context has read content from outside" if flow.risk >= RiskTier.HIGH else ""
        seen = context.provenance if context.lost_ns < since_ns else None
        deed = Deed(flow.words, step.arguments, flow.directing_of(step.arguments), flow.risk, flow.leaves, flow.looks)
        return doubt(seen or Provenance(), deed)

    def _place(self, step: Step) -> ContextKey:
        named = step.arguments.get(step.flow.place)
        return ContextKey(step.tenant, "place", f"{step.flow.mad}:{named if isinstance(named, str) else EVERYWHERE}")

    def _places_read(self, step: Step) -> Iterable[Context]:
        key = self._place(step)
        if key.subject.endswith(f":{EVERYWHERE}"):
            return self._contexts.places(step.tenant, step.flow.mad)
        # Where rules look at conversations, to have been in one counts, also before anybody left anything there.
        named = self._contexts.get(key) if "conversation" in self._rules.scopes else self._contexts.find(key)
        left = self._contexts.find(key._replace(subject=f"{step.flow.mad}:{EVERYWHERE}"))
        return [place for place in (named, left) if place is not None]

    def _post(self, step: Step, context: Context, now_ns: int) -> list[Due]:
        living = self._living(context, now_ns)
        place = self._contexts.get(self._place(step))
        self._touch(context, place)
        if not living:
            return []
        if TAINT in living and self._taint == "values":
            self._take(place, f"what {step.agent} left", step.arguments)
            place.lost_ns = max(place.lost_ns, context.lost_ns)
        return self._contexts.note([place], living)

    def _hear_person(self, step: Step) -> None:
        if step.flow.acts and self._taint == "values":
            seen = self._contexts.get(self._place(step)).seen()
            before = seen.chars
            for text in leaves(step.arguments):
                seen.trust(text)
            self._contexts.grown(seen.chars - before)

    async def _read(self, context: Context, source: str, result: Any, size: int) -> None:
        if size <= _QUICK_BYTES:
            self._take(context, source, result)
            return
        # A long text takes its milliseconds for every ten kilobytes.
        read = Provenance()
        await asyncio.to_thread(read.take, source, result)
        seen = context.seen()
        before = seen.chars
        seen.merge(read)
        self._contexts.grown(seen.chars - before)

    def _take(self, context: Context, source: str, value: Any) -> None:
        seen = context.seen()
        before = seen.chars
        seen.take(source, value)
        self._contexts.grown(seen.chars - before)

    def _merge(self, context: Context, place: Context) -> None:
        # What is there only grows, so equal in size is equal.
        if place.provenance is None or (context.provenance and context.places[place.key] == place.provenance.chars):
            return
        seen = context.seen()
        before = seen.chars
        seen.merge(place.provenance)
        context.places[place.key] = place.provenance.chars
        self._contexts.grown(seen.chars - before)

    def _living(self, context: Context, now_ns: int) -> dict[str, int]:
        since_ns = now_ns - self._rules.keep_ns
        return {label: seen_ns for label, seen_ns in context.labels.items() if seen_ns >= since_ns}

    def _touch(self, context: Context, place: Context) -> None:
        context.places[place.key] = context.places.pop(place.key, -1)
        while len(context.places) > _MOST_PLACES:
            del context.places[next(iter(context.places))]
