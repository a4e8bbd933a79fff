"""Whether a call in a tainted context is the person's idea or that of what was read.

A call with an effect passes where everything that decides it can be traced to a person's words or to records that were
looked up. It is asked for:

1. where nothing can be traced (no trusted message, or what was seen is no longer known) and the risk is high;
2. where a value comes from a foreign request and from nowhere else;
3. where a foreign request speaks of the action, and no person did;
4. at high risk, also where no person spoke of the action, or where a value that directs it stands in foreign text only;
5. where a call that leaves the colony is directed by a value that was seen nowhere: it may carry data out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cenoby.access.actions import RiskTier
from cenoby.access.flows.provenance import Found, Provenance
from cenoby.access.flows.values import Value, values_of
from cenoby.access.flows.wording import names_action, words

_SHOWN = 80


class Deed(msgspec.Struct, frozen=True):
    """What is about to be done.

    Attributes:
        words: the words of the tool's own name, the verb first.
        arguments: plain JSON types.
        directing: names of the arguments that say where to, to whom or on what.
        risk: its tier.
        leaves: it acts outside the colony.
        looks: it only fetches.
    """

    words: tuple[str, ...]
    arguments: dict[str, Any]
    directing: frozenset[str]
    risk: RiskTier
    leaves: bool
    looks: bool = False


def doubt(seen: Provenance, deed: Deed) -> str:
    """Why a person must decide a call with an effect in a tainted context, in one sentence; empty where none must."""
    high = deed.risk >= RiskTier.HIGH
    trusted = seen.trusted
    if not trusted or seen.lost:
        return (
            "the context has read content from outside, and no person's message is known that asks for this"
            if high
            else ""
        )
    for value in values_of(deed.arguments, deed.directing):
        if reason := _doubt_value(seen, deed, value, high):
            return reason
    return "" if deed.looks else _doubt_action(seen, deed, words(trusted), high)


def _doubt_action(seen: Provenance, deed: Deed, said: frozenset[str], high: bool) -> str:
    if names_action(deed.words, said, with_thing=True):
        return ""
    for passage in seen.requests:
        if names_action(deed.words, passage.words, with_thing=True):
            return f"content from {passage.source} asks for it, and no person did: {_shown(passage.text)}"
    if high and not names_action(deed.words, said, with_thing=False):
        return "the context has read content from outside, and no person's message speaks of such an action"
    return ""


def _doubt_value(seen: Provenance, deed: Deed, value: Value, high: bool) -> str:
    found = seen.find(value.text)
    name = f"{value.argument} {_shown(value.text)}"
    if found.origin == "request" and _counts(deed, value, found):
        return f"{name} comes from a request in content from {found.source}: {_shown(found.around)}"
    if not value.directs:
        return ""
    if high and found.origin == "text":
        return f"{name} stands only in running text from {found.source}"
    if found.origin == "unknown" and (deed.leaves or high):
        return f"{name} was named by no person and found by no call"
    return ""


def _counts(deed: Deed, value: Value, found: Found) -> bool:
    # A weak value counts where the request speaks of the same action.
    return not value.weak or names_action(deed.words, words(found.around), with_thing=False)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")
