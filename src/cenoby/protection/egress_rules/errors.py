"""A file of rules that is none, and limits that are used up; what a rule refuses is an `EgressRefused`."""

from __future__ import annotations

from cenoby.kernel.errors import InvalidInput, Unavailable


class EgressSpent(Unavailable):
    """Allowed, but more than may leave in an hour."""

    http_status = 429
    codes = {
        "egress_requests": "The agent's requests of the last 60 minutes are used up; retry_after says when one fits.",
        "egress_bytes": "The bytes that the agent may send out in 60 minutes are used up.",
    }


class EgressRulesInvalid(InvalidInput):
    """The file of rules cannot be used."""

    codes = {"egress_rules_invalid": "The file that `egress.rules` names is wrong; the message names the place."}
