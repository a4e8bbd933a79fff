"""The words of durable workflows: a type is a state machine, an instance is a row, a handler takes it one step on.

A handler may run more than once, because a process may die before its step is on disk; its step is applied once. So a
handler only looks and decides, and what must happen exactly once is in the `Step` that it returns: new state and data,
journal records, outbox items and writes of its own are one transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from cenoby.store.engine import Connection
from cenoby.store.journal import Entry
from cenoby.store.outbox import Item

Status = Literal["open", "done", "failed"]


class Signal(msgspec.Struct, frozen=True):
    """Something an instance is told; it is kept until a step that waited for its name has used it.

    Attributes:
        id: whoever sends it again with the same id sends nothing new.
        name: what instances wait for.
        payload: plain JSON types.
    """

    id: str
    name: str
    payload: Any = None


class Instance(msgspec.Struct, frozen=True):
    """One run of a workflow. Times are Unix nanoseconds.

    Attributes:
        id, tenant: which, and whose.
        type, version: of the workflow whose handlers take it on.
        key: who starts it twice by the same key starts it once.
        state: the handler that is next; the end that it reached, where it is done.
        status: `failed` where its handler failed too often; `error` has the last failure's trace.
        data: what it remembers, plain JSON types.
        step: how many steps it has done.
        attempts: how many times the next step was begun.
        due_ns: when it goes on; None where only a signal can wake it, or it has ended.
        waits_for: names of signals, any of which wakes it.
        owner, token, lease_until_ns: who holds its workflow lease; the token grows with each holder.
        signal: for a handler whose instance waited: what woke it; None where its time was up first.
    """

    id: str
    tenant: str
    type: str
    version: int
    key: str
    state: str
    status: Status
    data: Any
    step: int
    attempts: int
    due_ns: int | None
    waits_for: tuple[str, ...]
    owner: str
    token: int
    lease_until_ns: int
    error: str
    started_ns: int
    changed_ns: int
    signal: Signal | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a handler decided.

    Attributes:
        state: whose handler is next, or an end of the workflow.
        data: what the instance remembers from now on, plain JSON types.
        wait: names of signals; the next handler runs when one of them is there.
        wake_ns: Unix nanoseconds: the next handler runs at that time at the latest, or, where it waits for no signal,
            not before.
        events: for the journal.
        put: for the outbox; an item whose id is there already is not put again.
        write: further writes of the same transaction; may run more than once, in transactions that were undone.
    """

    state: str
    data: Any = None
    wait: tuple[str, ...] = ()
    wake_ns: int | None = None
    events: tuple[Entry, ...] = ()
    put: tuple[Item, ...] = ()
    write: Callable[[Connection], object] | None = None


Handler = Callable[[Instance], Awaitable[Step]]
Upgrade = Callable[[str, Any], tuple[str, Any]]
"""From a state and data of an older version to those of the newer one; runs again wherever the step after it does."""


@dataclass(frozen=True)
class Workflow:
    """One version of a type.

    Args:
        type: its name.
        version: from 1; another one where states or data change their meaning.
        first: the state in which it starts.
        handlers: by state.
        ends: states in which it has ended.
        upgrades: by older version: how an instance of that becomes one of this.
        most_attempts: how many times a step is begun before the instance is `failed`.

    Raises:
        ValueError: these do not fit each other.
    """

    type: str
    version: int
    first: str
    handlers: Mapping[str, Handler]
    ends: frozenset[str] = frozenset({"done"})
    upgrades: Mapping[int, Upgrade] = field(default_factory=dict[int, Upgrade])
    most_attempts: int = 10

    def __post_init__(self) -> None:
        if self.first not in self.handlers:
            raise ValueError(f"{self.type} v{self.version}: its first state {self.first!r} has no handler")
        if both := self.ends & self.handlers.keys():
            raise ValueError(f"{self.type} v{self.version}: {sorted(both)} are ends and have handlers")
        if any(older >= self.version for older in self.upgrades):
            raise ValueError(f"{self.type} v{self.version}: it upgrades older versions only")

    def check(self, step: Step) -> None:
        """Pass where a handler's step can be applied.

        Raises:
            ValueError: it leads nowhere, or waits for what cannot come.
        """
        if step.state not in self.handlers and step.state not in self.ends:
            raise ValueError(f"{self.type} v{self.version} has neither a handler nor an end {step.state!r}")
        if step.state in self.ends and (step.wait or step.wake_ns is not None):
            raise ValueError(f"{self.type} v{self.version}: {step.state!r} is an end, and nothing can wake it")
        if any(not name or name.split() != [name] for name in step.wait):
            raise ValueError("names of signals are words without spaces")


class Definitions:
    """The workflows that this process can take on.

    Args:
        workflows: several versions of a type may stand side by side.

    Raises:
        ValueError: two are the same version of the same type.
    """

    def __init__(self, *workflows: Workflow) -> None:
        self._newest_first = sorted(workflows, key=lambda one: -one.version)
        if len({(one.type, one.version) for one in workflows}) != len(workflows):
            raise ValueError("two workflows are the same version of the same type")

    def newest(self, type_name: str) -> Workflow:
        """The version that new instances get.

        Raises:
            ValueError: there is none of that type.
        """
        for workflow in self._newest_first:
            if workflow.type == type_name:
                return workflow
        raise ValueError(f"no workflow {type_name!r} is defined")

    def taking(self, type_name: str, version: int) -> Workflow:
        """Who takes on an instance of a version: the newest that upgrades it, else that version itself.

        Raises:
            ValueError: nobody does.
        """
        for workflow in self._newest_first:
            if workflow.type == type_name and (version in workflow.upgrades or version == workflow.version):
                return workflow
        raise ValueError(f"nobody takes on {type_name!r} v{version}")

    def handled(self) -> list[tuple[str, int, list[str] | None]]:
        """Type, version and states that somebody here takes on; None for all states."""
        found: list[tuple[str, int, list[str] | None]] = []
        upgraded = {(one.type, older) for one in self._newest_first for older in one.upgrades}
        found += [(type_name, version, None) for type_name, version in sorted(upgraded)]
        for one in self._newest_first:
            if (one.type, one.version) not in upgraded:
                found.append((one.type, one.version, sorted(one.handlers)))
        return found
