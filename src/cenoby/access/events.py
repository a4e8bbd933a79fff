"""Events of access: what changes who may do what, without a call of a tool."""

from __future__ import annotations

from cenoby.kernel.events import Event


class AgentDeclared(Event, frozen=True, tag="agent_declared.v1"):
    """The settings registered an agent, or changed what it is; `notes` says why it is there, in the operator's words.

    Attributes:
        agent, tenant, roles: which, whose, and what it may be.
        department, seniority, autonomy, parent: as the settings have them; empty where they say nothing.
    """

    agent: str
    tenant: str
    roles: tuple[str, ...]
    department: str = ""
    seniority: str = ""
    autonomy: str = ""
    parent: str = ""
