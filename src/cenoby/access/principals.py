"""Who is behind a call, once that is known."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["agent", "person", "mad"]
"""What an actor is: an outside process or employee, a human being, or a hosted MAD."""


class Principal(msgspec.Struct, frozen=True):
    """An authenticated actor. Everything that is limited, allowed or recorded hangs on it, never on a session.

    Attributes:
        agent: its name, unique in the colony.
        tenant: whose data it may see; nothing crosses tenants.
        roles: names of its roles, sorted; they alone say what it may do.
        kind: what it is.
        token_id: the token it came with; empty for a call from inside.
    """

    agent: str
    tenant: str
    roles: tuple[str, ...]
    kind: Kind
    token_id: str = ""
