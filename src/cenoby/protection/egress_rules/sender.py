"""On whose behalf a request leaves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sender:
    """Who makes a request.

    Attributes:
        agent: the agent whose call it serves; empty for a part of the colony itself.
        tenant: the agent's tenant.
        roles: the agent's roles.
        tool: the tool that makes the request, `mads.marco.fetch`; the MAD, `mads.own`, where the tool is not known.
        part: the part of the colony that makes it for no call: `oauth`, `approvals`, `evidence`, `judge`, `secrets`.
    """

    agent: str = ""
    tenant: str = ""
    roles: tuple[str, ...] = ()
    tool: str = ""
    part: str = ""


COLONY = Sender()
"""The colony itself, of which nothing more is said."""
