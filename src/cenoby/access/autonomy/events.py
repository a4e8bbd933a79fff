"""What the colony records of levels of autonomy by itself; what people set is recorded by the MAD that they ask."""

from __future__ import annotations

from cenoby.kernel.events import Event


class AutonomyLowered(Event, frozen=True, tag="autonomy_lowered.v1"):
    """The colony holds an agent at a level until a person raises it; `notes` says what gave reason to.

    Attributes:
        agent: which.
        was, now: its level in force before and after.
        cause: security, budget or errors.
    """

    agent: str
    was: str
    now: str
    cause: str
