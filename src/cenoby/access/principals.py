"""Who is behind a call, once that is known."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

Kind = Literal["agent", "person", "mad", "node"]
"""What an actor is: an outside process or employee, a human being, a hosted MAD, or a process of the colony."""

Seniority = Literal["", "junior", "mid", "senior", "lead"]
"""How far an agent has come, lowest first; empty where nobody said. Autonomy looks at it."""

Autonomy = Literal["", "locked", "supervised", "semi", "full"]
"""The name of an autonomy level, strictest first; empty means that of the department, then of the company."""


class Principal(msgspec.Struct, frozen=True, omit_defaults=True):
    """An authenticated actor. Everything that is limited, allowed or recorded hangs on it, never on a session.

    Attributes:
        agent: its name, unique in the colony.
        tenant: whose data it may see; nothing crosses tenants.
        roles: names of its roles, sorted; they alone say what it may do.
        kind: what it is.
        token_id: the token it came with; empty for a call from inside.
        department: where it works; a label, never a key.
        seniority: how far it has come.
        autonomy: the level that was given to itself; empty where it has its department's.
        parent: the agent for which it works; empty for one that nobody made.
    """

    agent: str
    tenant: str
    roles: tuple[str, ...]
    kind: Kind
    token_id: str = ""
    department: str = ""
    seniority: Seniority = ""
    autonomy: Autonomy = ""
    parent: str = ""


class Proven(NamedTuple):
    """A token's text, and the thumbprint of the key that its sender was just seen to hold (RFC 9449)."""

    token: str
    key: str


Credential = str | Proven
"""What somebody shows: a bearer token's text, or that of a token which is bound to a key."""
