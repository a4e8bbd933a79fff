"""What can go wrong with a call, wherever on its way through the colony it does."""

from __future__ import annotations

from cenoby.kernel.errors import Fault, InvalidInput, Unavailable


class CallInvalid(InvalidInput):
    """A call that cannot be made as it stands."""

    codes = {
        "arguments_invalid": "The arguments do not fit the tool's input schema; the message names the place.",
        "tool_unknown": "No hosted MAD has a tool of that name; list the tools to see what there is.",
        "api_unknown": "No API of that name and major version is published; `cenoby api list` shows what is.",
        "api_ended": "This version of a published API was served until a day that is over; the message names a newer.",
        "one_process": "The colony cannot leave its process: `bus` or `store` cannot cross processes; see the message.",
        "client_feature_missing": "The client does not support what the tool needs (elicitation, sampling).",
    }


class ColonyUnavailable(Unavailable):
    """The colony, or the MAD that is wanted, takes no such call at the moment."""

    codes = {
        "mailbox_full": "Too many calls wait for this MAD; try again after `retry_after` seconds.",
        "circuit_open": "It failed again and again and is left alone; the message has the reason, try again later.",
        "circuit_held_open": "A person opened this circuit; they say in the message why, and must close it again.",
        "mad_down": "The MAD was killed, or broke too often; the message says why. A person must restart it.",
        "node_not_started": "The process for a MAD did not come up; its log has the reason, and the MAD stays.",
        "rule_changed": "The rule changed while the call waited, and a person must decide it by now; call again.",
        "mad_stopped": "The MAD was stopped or restarted during the call; its work may be done in part.",
    }


class ToolFault(Fault):
    """A tool, or the pipeline itself, failed at its work."""

    codes = {
        "tool_failed": "The tool failed; the log holds the cause under the call's correlation id.",
        "tool_timeout": "The tool took longer than it declares; its work may have been done in part.",
        "outcome_unknown": "A process died while it ran this parked call; it was not run again, so look what it did.",
        "node_lost": "The node that had the call is gone; nobody knows what became of it, so look before repeating it.",
        "result_too_large": "The result is larger than limits.max_result_bytes; ask for less.",
        "pipeline_failed": "A stage of the pipeline failed; the log holds the cause under the call's correlation id.",
    }
