"""How another colony's answers end a call here; what it said itself is in `details`."""

from __future__ import annotations

from cenoby.kernel.errors import Fault, Refused, Unavailable


class ForeignRefused(Refused):
    """The other colony understood the call and said no."""

    codes = {
        "foreign_refused": "The other colony refuses the call, or does not know what it names; see the message.",
        "foreign_token": "The other colony does not accept our token; an operator stores a good one with Turing.",
    }


class ForeignUnavailable(Unavailable):
    """The other colony cannot do it now."""

    codes = {"foreign_unavailable": "The other colony does not take the call at the moment; try again later."}


class ForeignFault(Fault):
    """The other colony failed, or does not keep its published API."""

    codes = {
        "foreign_failed": "The other colony failed at the call; its journal has the cause under the named record.",
        "foreign_answer_invalid": "What came back does not fit the API's document; see `cenoby api check`.",
    }
