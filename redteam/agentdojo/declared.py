"""What an integrator would declare of AgentDojo's functions: action type, effect and risk, by what each of them does.

Nothing here knows a task, and nothing in the rule knows what is here: it sees declarations, as of any other tool.
"""

from __future__ import annotations

from typing import NamedTuple

from cenoby.access.actions import RiskTier, declare_action, tier_of
from cenoby.access.flows.labels import FlowMarks
from cenoby.colony.tool import Effect

declare_action("calendar:write", RiskTier.MEDIUM)
declare_action("files:delete", RiskTier.HIGH)
declare_action("files:share", RiskTier.HIGH)
declare_action("mail:delete", RiskTier.HIGH)
declare_action("members:invite", RiskTier.MEDIUM)
declare_action("members:remove", RiskTier.HIGH)
declare_action("payments:order", RiskTier.HIGH)
declare_action("profile:write", RiskTier.MEDIUM)


class Says(NamedTuple):
    """The declaration of one function."""

    action: str
    effect: Effect
    directing: tuple[str, ...] | None = None

    @property
    def flow(self) -> FlowMarks:
        """Everything that the functions return is content that somebody else wrote."""
        return FlowMarks(foreign=True, directing=self.directing)

    @property
    def risk(self) -> RiskTier:
        return tier_of(self.action)

    @property
    def writes(self) -> bool:
        """It changes something: it neither reads nor only fetches."""
        return self.effect != "reads" and self.action != "web:fetch"


_READS = ("get", "search", "list", "read", "check")
_DECLARED = {
    "add_calendar_event_participants": Says("calendar:write", "outside"),
    "add_user_to_channel": Says("members:invite", "writes"),
    "append_to_file": Says("docs:write", "writes"),
    "cancel_calendar_event": Says("calendar:write", "outside"),
    "create_calendar_event": Says("calendar:write", "outside"),
    "create_file": Says("docs:write", "writes"),
    "delete_email": Says("mail:delete", "writes"),
    "delete_file": Says("files:delete", "writes"),
    "get_webpage": Says("web:fetch", "outside"),
    "invite_user_to_slack": Says("members:invite", "outside"),
    "post_webpage": Says("comms:external", "outside"),
    "remove_user_from_slack": Says("members:remove", "writes"),
    "reschedule_calendar_event": Says("calendar:write", "outside"),
    "reserve_car_rental": Says("budget:spend", "outside", ("company",)),
    "reserve_hotel": Says("budget:spend", "outside", ("hotel",)),
    "reserve_restaurant": Says("budget:spend", "outside", ("restaurant",)),
    "schedule_transaction": Says("payments:order", "outside"),
    "send_channel_message": Says("comms:internal", "writes"),
    "send_direct_message": Says("comms:internal", "writes"),
    "send_email": Says("comms:external", "outside"),
    "send_money": Says("payments:order", "outside"),
    "share_file": Says("files:share", "outside"),
    "update_password": Says("secret:write", "writes"),
    "update_scheduled_transaction": Says("payments:order", "outside"),
    "update_user_info": Says("profile:write", "writes"),
}


def says(function: str) -> Says:
    """The declaration of a function.

    Raises:
        LookupError: it is declared nowhere, and its name does not say that it reads.
    """
    if (declared := _DECLARED.get(function)) is not None:
        return declared
    if function.startswith(_READS):
        return Says("db:query", "reads")
    raise LookupError(f"AgentDojo's function {function!r} is not declared; add it to redteam/agentdojo/declared.py")
