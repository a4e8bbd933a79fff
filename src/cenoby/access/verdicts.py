"""What a check of the rule says of a call: nothing, no (a refusal that it raises), or that a person must decide.

The strictest wins: one refusal ends the call, and one `Ask` parks it, whatever everybody else allows.
"""

from __future__ import annotations

import msgspec


class Ask(msgspec.Struct, frozen=True):
    """One reason why a person must decide a call before it runs.

    Attributes:
        by: who wants it, as `source:name`, such as `policy:vcs-push`, `rule:force-push`, `autonomy:semi`, `risk:high`,
            `flow:read-then-post`, `settings:deploy`.
        reason: one sentence for the person who decides.
    """

    by: str
    reason: str
