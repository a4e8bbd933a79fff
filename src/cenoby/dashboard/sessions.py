"""Browser sessions: a random name in a cookie stands for a token that never leaves the process again.

They live in memory only: after a restart people sign in anew, and nothing of them is ever written to disk.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from cenoby.kernel.clock import Clock

_IDLE_NS = 15 * 60 * 1_000_000_000
_LONGEST_NS = 8 * 3600 * 1_000_000_000
_MOST = 256
_MOST_OF_ONE_AGENT = 8


@dataclass(slots=True)
class Session:
    """One signed-in browser.

    Attributes:
        agent: who signed in.
        token: what its calls are made with; checked again at each of them, so that a revocation holds at once.
        form_key: what a form of this session carries, so that no other site can send one.
    """

    agent: str
    token: str
    form_key: str
    begun_ns: int
    used_ns: int


class Sessions:
    """Sessions end after 15 minutes without a request, after 8 hours in any case, and when too many follow.

    An agent's ninth session ends its own oldest, so that nobody signs others out by signing in.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def open(self, token: str, agent: str) -> str:
        """A new session for a token of that agent; returns its name, 256 random bits."""
        now = self._clock.monotonic_ns()
        self._sessions = {name: one for name, one in self._sessions.items() if not _over(one, now)}
        own = [name for name, one in self._sessions.items() if one.agent == agent]
        if len(own) >= _MOST_OF_ONE_AGENT:
            del self._sessions[own[0]]
        elif len(self._sessions) >= _MOST:
            del self._sessions[next(iter(self._sessions))]
        name = secrets.token_urlsafe(32)
        self._sessions[name] = Session(agent, token, secrets.token_urlsafe(32), now, now)
        return name

    def find(self, name: str) -> Session | None:
        """The session of that name, if it has not ended; counts as use."""
        session, now = self._sessions.get(name), self._clock.monotonic_ns()
        if session is None:
            return None
        if _over(session, now):
            del self._sessions[name]
            return None
        session.used_ns = now
        return session

    def close(self, name: str) -> None:
        """End a session; nothing happens where there is none."""
        self._sessions.pop(name, None)


def _over(session: Session, now: int) -> bool:
    return now - session.used_ns >= _IDLE_NS or now - session.begun_ns >= _LONGEST_NS
