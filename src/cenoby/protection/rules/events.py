"""What the security rules journal beside the decisions on calls."""

from __future__ import annotations

from cenoby.kernel.events import Event


class RulesDisabled(Event, frozen=True, tag="rules_disabled.v1"):
    """The colony started with sets of hard rules that do not decide.

    Attributes:
        disabled: sets that do not look at all.
        shadow: sets whose findings are only journalled.
    """

    disabled: tuple[str, ...]
    shadow: tuple[str, ...]


class ToolPinned(Event, frozen=True, tag="tool_pinned.v1"):
    """A foreign tool was seen for the first time; from now on it must stay what it is.

    Attributes:
        tool, server: its name here, and where it comes from.
        digest: SHA-256 of its name, description, schemas, annotations and server, as canonical JSON.
    """

    tool: str
    server: str
    digest: str


class ToolQuarantined(Event, frozen=True, tag="tool_quarantined.v1"):
    """A foreign tool is not what was pinned, or its description speaks to the model; it refuses until it is accepted.

    Attributes:
        tool, server: its name here, and where it comes from.
        pinned, seen: digests of what was pinned (empty: nothing was) and of what there is now.
        rules: rules that its description breaks.
        diff: lines of a unified diff between the two, cut after some.
    """

    tool: str
    server: str
    pinned: str
    seen: str
    rules: tuple[str, ...]
    diff: tuple[str, ...]


class ToolAccepted(Event, frozen=True, tag="tool_accepted.v1"):
    """A person accepted a foreign tool as it is now; `notes` says why."""

    tool: str
    server: str
    digest: str
