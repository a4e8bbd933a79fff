"""What `access` says of money: the rows that people see."""

from __future__ import annotations

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """Money of one agent on one UTC day, in micro-US-dollars. `held` is reserved and not settled; it counts as spent.

    `day` is in days since the Unix epoch.
    """

    agent: str
    tenant: str
    day: int
    held: int
    spent: int
    limit: int
