"""Places in which requests are served: so many for all, a share of them for each agent, and some for those who decide.

Without a share, one agent of the weakest role could hold every place; without the places kept, several could, and
nobody would get in to revoke their tokens.
"""

from __future__ import annotations

from types import TracebackType

from cenoby.access.principals import Principal
from cenoby.access.roles import RoleTable
from cenoby.gateway.errors import GatewayUnavailable

_SHARE = 4
"""An agent may hold a quarter of all places unless the settings say otherwise."""

_KEPT = 16
"""One place in so many is kept for those who may decide or administer."""

_DECIDES = ("approval:decide", "colony:admin")


class Place:
    """One place taken. Release it, or leave its block, when the request needs it no more; twice is fine."""

    __slots__ = ("_agent", "_places")

    def __init__(self, places: Places, agent: str) -> None:
        self._places: Places | None = places
        self._agent = agent

    def release(self) -> None:
        """Give the place back."""
        if self._places is not None:
            self._places.give_back(self._agent)
            self._places = None

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Places:
    """Places of one kind.

    Args:
        what: what is served in them, for people: `requests`.
        most: how many there are.
        share: how many one agent may hold; None for a quarter of all.
        roles: say who may decide or administer.

    Attributes:
        taken: how many are held now.
    """

    def __init__(self, what: str, most: int, share: int | None, roles: RoleTable) -> None:
        self.taken = 0
        self._what = what
        self._most = most
        self._share = share or max(1, most // _SHARE)
        self._open = most - most // _KEPT
        self._roles = roles
        self._held: dict[str, int] = {}

    def take(self, principal: Principal) -> Place:
        """A place for a request of `principal`.

        Raises:
            GatewayUnavailable: `places_full`, or `share_full` where only this agent must wait.
        """
        agent = principal.agent
        held = self._held.get(agent, 0)
        if self.taken >= self._open and (self.taken >= self._most or not self._decides(principal)):
            raise GatewayUnavailable(
                "places_full", f"The colony serves as many {self._what} as it can at once.", retry_after=1.0
            )
        if held >= self._share:
            raise GatewayUnavailable(
                "share_full",
                f"{agent!r} holds {held} {self._what}, as many as one agent may; end some, or try again.",
                retry_after=1.0,
            )
        self._held[agent] = held + 1
        self.taken += 1
        return Place(self, agent)

    def give_back(self, agent: str) -> None:
        """One place of the agent is free again; called by the place itself."""
        self.taken -= 1
        left = self._held[agent] - 1
        if left:
            self._held[agent] = left
        else:
            del self._held[agent]

    def _decides(self, principal: Principal) -> bool:
        return any(self._roles.allows(principal, action) for action in _DECIDES)
