"""How a rule says no."""

from __future__ import annotations

from cenoby.kernel.errors import Refused


class RuleRefused(Refused):
    """A security rule says no; no role and no level of autonomy lifts it."""

    codes = {
        "rule_violated": "The arguments break a security rule, or the judge said no; details.rules names which.",
        "rule_failed": "A security rule failed at its work, so the call is refused; the log has the cause.",
        "result_withheld": "The result speaks to a model as if it were its master; details.rules says how.",
        "tool_quarantined": "A foreign tool is not what it was when it was pinned; a person must accept it first.",
        "pin_unknown": "No tool of that name is pinned here; `cenoby tools pins` shows those that are.",
    }
