"""What a tool does to the flow of data: its labels, whether it brings content from outside, and where it puts things.

A tool says so itself (`FlowMarks`); what it does not say follows from its action type and its effect.
"""

from __future__ import annotations

import re

import msgspec

from cenoby.access.actions import RiskTier

TAINT = "reads:outside"
"""The label of who has read content that came from outside."""
LABEL = re.compile(r"[a-z]+:[a-z][a-z0-9_-]*")
"""`verb:what`, such as `reads:database`."""
_CALLED = {"db": "database"}
_DIRECTING = frozenset(
    """
    account accounts address attendees bcc bucket cc channel channels conversation email emails file files
    host iban id ids key link mail number participants password path phone recipient recipients repository
    target to uri url user username users webhook
    """.split()  # noqa: SIM905
)
_WORD = re.compile(r"[a-z0-9]+")


class FlowMarks(msgspec.Struct, frozen=True, kw_only=True):
    """What the author of a tool says about the flow of data; None where it follows from action type and effect.

    Attributes:
        labels: what the tool reads and where it writes, such as `reads:database` and `posts:outside`.
        foreign: its results are content that somebody outside wrote.
        directing: names of the arguments that say where to, to whom, or on what it acts.
        place: name of the argument that says where it keeps or finds what agents leave for each other, such as a
            conversation; empty where it does neither.
    """

    labels: tuple[str, ...] | None = None
    foreign: bool | None = None
    directing: tuple[str, ...] | None = None
    place: str = ""

    def __post_init__(self) -> None:
        for label in self.labels or ():
            if not LABEL.fullmatch(label):
                raise ValueError(f"the label {label!r} is not of the form verb:what, such as reads:database")


NO_MARKS = FlowMarks()


class ToolFlow(msgspec.Struct, frozen=True):
    """What the flow of data needs to know of a tool.

    Attributes:
        labels: what a call of it adds to its context.
        foreign: its results are content from outside.
        acts: it has an effect.
        leaves: it acts outside the colony.
        looks: it only fetches.
        risk: its tier.
        words: the words of its own name, the verb first.
        directing: names of directing arguments; None for those whose names say so.
        mad, place: of which MAD, and the argument that names a place there.
    """

    labels: tuple[str, ...]
    foreign: bool
    acts: bool
    leaves: bool
    looks: bool
    risk: RiskTier
    words: tuple[str, ...]
    directing: frozenset[str] | None
    mad: str
    place: str

    def directing_of(self, arguments: dict[str, object]) -> frozenset[str]:
        """Which of these arguments direct the call."""
        if self.directing is not None:
            return self.directing
        return frozenset(name for name in arguments if not _DIRECTING.isdisjoint(_WORD.findall(name.lower())))


def tool_flow(name: str, mad: str, action: str, effect: str, risk: RiskTier, marks: FlowMarks) -> ToolFlow:
    """What follows from a tool's declaration.

    Args:
        name: canonical name, `mads.<mad>.<verb_noun>`.
        mad: its MAD.
        action: its action type.
        effect: `reads`, `writes` or `outside`.
        risk: its tier.
        marks: what its author says.
    """
    category = action.partition(":")[0]
    looks = effect == "outside" and category == "web"
    foreign = looks if marks.foreign is None else marks.foreign
    labels = _derived(category, effect) if marks.labels is None else marks.labels
    return ToolFlow(
        labels=tuple(dict.fromkeys((*labels, *((TAINT,) if foreign else ())))),
        foreign=foreign,
        acts=effect != "reads",
        leaves=effect == "outside",
        looks=looks,
        risk=risk,
        words=tuple(_WORD.findall(name.rpartition(".")[2].lower())),
        directing=None if marks.directing is None else frozenset(marks.directing),
        mad=mad,
        place=marks.place,
    )


def _derived(category: str, effect: str) -> tuple[str, ...]:
    what = _CALLED.get(category, category).replace("_", "-")
    if effect == "reads":
        return (f"reads:{what}",)
    if effect == "writes":
        return (f"writes:{what}",)
    # A request is a message, too: an address can carry data out.
    return ("posts:outside",)
