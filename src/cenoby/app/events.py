"""Events of the life of a colony."""

from __future__ import annotations

from cenoby.kernel.events import Event


class ColonyStarted(Event, frozen=True, tag="colony_started.v1"):
    """The colony hosts its MADs and takes calls from here on."""

    node: str


class ColonyStopped(Event, frozen=True, tag="colony_stopped.v1"):
    """The colony stopped with no call left under way."""

    node: str


class ColonyCutOff(Event, frozen=True, tag="colony_cut_off.v1"):
    """The colony stopped before all calls had ended; the next start finds them."""

    node: str
