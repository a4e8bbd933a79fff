"""What may be said about a secret without telling it, and the ports between the vault and those who ask it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from cenoby.kernel.events import Event

NAME_FORM = r"[A-Za-z0-9_.\-/]{1,128}"
READER_FORM = r"(role|agent):[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
MOST_READERS = 64
LONGEST_VALUE = 64 * 1024
"""Bytes of the longest value, in UTF-8."""

Journalled = Callable[[Event], Awaitable[object]]
"""Journals an event (`events.py`); when it returns, the event is durable. Raises where it could not be recorded."""


def value_problem(value: str) -> str:
    """What keeps a text from being the value of a secret; empty where nothing does."""
    size = len(value.encode())
    return "" if 0 < size <= LONGEST_VALUE else f"a value has 1 to {LONGEST_VALUE} bytes in UTF-8, not {size}"


class Caller(Protocol):
    """Who asks; `access.principals.Principal` is one."""

    @property
    def agent(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def roles(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One use of a secret that somebody wants.

    Attributes:
        tenant: whose secret.
        agent, roles: the caller to whom it is to be told; empty where the colony uses it itself.
        mad: the MAD that uses it, `colony` for a part of the colony that is none; empty where it is told to a caller.
        tool: canonical name of the tool that is being served; empty for none.
        to: `host:port` to which it goes in a header; empty where it goes to no server.
    """

    tenant: str
    agent: str = ""
    roles: tuple[str, ...] = ()
    mad: str = ""
    tool: str = ""
    to: str = ""

    @property
    def who(self) -> str:
        """The agent, or `mad:<name>`: whose leases and uses are counted together."""
        return f"mad:{self.mad}" if self.mad else self.agent


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseInfo:
    """A secret lease: for how long somebody may hold a value that was told.

    Attributes:
        id: of the lease.
        tenant, name, version: of which secret.
        holder: an agent, or `mad:<name>`.
        begun_ns, expires_ns: since when and until when, unless it is renewed; Unix nanoseconds.
        ends_ns: up to when it can be renewed; the same as `expires_ns` where it cannot.
        ended_ns, ended_why: when and why it is over; None and "" while it is not.
    """

    id: str
    tenant: str
    name: str
    version: int
    holder: str
    begun_ns: int
    expires_ns: int
    ends_ns: int
    ended_ns: int | None = None
    ended_why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionInfo:
    """One version of a secret.

    Attributes:
        name, version: which; versions count from 1 and are never given twice.
        readers: `role:<name>` or `agent:<name>`; empty: whoever may read secrets at all.
        colony_only: no caller gets it; the colony itself uses it, and MADs that `readers` names.
        created_by, created_ns: agent and wall time, Unix nanoseconds.
        revoked_by, revoked_ns: the same of its revocation; "" and None while it is good.
    """

    name: str
    version: int
    readers: tuple[str, ...]
    colony_only: bool
    created_by: str
    created_ns: int
    revoked_by: str = ""
    revoked_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretInfo:
    """A secret by its newest version.

    Attributes:
        newest: the version that is read where none is named.
        owner: the agent that stored version 1.
        versions: how many there are, revoked ones included.
    """

    newest: VersionInfo
    owner: str
    versions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretValue:
    """A secret, told. Its representation leaves the value out, so that no log or traceback shows it by accident."""

    name: str
    version: int
    value: str
    lease: LeaseInfo | None = None

    def __repr__(self) -> str:
        return f"SecretValue(name={self.name!r}, version={self.version})"
