"""All events that the colony and its shipped MADs know, by name, and reading records of any version with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from cenoby.access import events as access_events
from cenoby.access.approvals import events as approval_events
from cenoby.access.autonomy import events as autonomy_events
from cenoby.access.policy import events as policy_events
from cenoby.app import events as app_events
from cenoby.colony import events as colony_events
from cenoby.colony.mad import Mad
from cenoby.colony.nodes import events as node_events
from cenoby.kernel.codec import CodecError
from cenoby.kernel.events import BusEvent, Event, by_name, plain_event, read_event
from cenoby.mads.grace import events as grace_events
from cenoby.mads.rogers import events as rogers_events
from cenoby.protection import events as protection_events
from cenoby.protection import seal_events
from cenoby.protection.content import events as content_events
from cenoby.protection.egress_rules import events as egress_events
from cenoby.protection.evidence import events as evidence_events
from cenoby.protection.files import events as file_events
from cenoby.protection.rules import events as rule_events
from cenoby.store import events as store_events

MODULES = (
    access_events,
    approval_events,
    autonomy_events,
    app_events,
    policy_events,
    colony_events,
    node_events,
    protection_events,
    seal_events,
    rule_events,
    content_events,
    evidence_events,
    egress_events,
    file_events,
    store_events,
    grace_events,
    rogers_events,
)
"""Where events are declared, beside those who emit them. A new module of events is added here."""


def declared_in(module: ModuleType) -> Iterator[type[Event]]:
    """The events that a module declares, in the order of its source; bases that have no version are none."""
    for one in vars(module).values():
        if isinstance(one, type) and issubclass(one, Event) and one.__module__ == module.__name__ and is_tagged(one):
            yield one


def is_tagged(kind: type[Event]) -> bool:
    """Whether it is an event, and no base of events."""
    return "." in str(kind.__struct_config__.tag)


EVENTS: Mapping[str, type[Event]] = by_name(*(one for module in MODULES for one in declared_in(module)))
"""Every event by its name."""


def present_form(code: str, payload: Any, mads: Iterable[Mad] = ()) -> dict[str, Any] | None:
    """The payload of a journalled event as the event's present version has it; None where it is none that fits.

    Args:
        code: the record's code.
        payload: its payload, of whatever version; records from before there were versions are of the first.
        mads: those that are hosted; they may declare events of their own.
    """
    known = (EVENTS, *(mad.events for mad in mads))
    kind = next((events[code] for events in known if code in events), None)
    if kind is None or isinstance(kind, str) or issubclass(kind, BusEvent):
        return None
    try:
        return plain_event(read_event(kind, payload, code))
    except CodecError:
        # Shown beside the payload as it was recorded, which is all there is to say of one that does not fit.
        return None
