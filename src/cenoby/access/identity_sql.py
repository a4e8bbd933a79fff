"""What `access` keeps of agents, their tokens and blocked subjects, and all of its SQL.

Every function runs inside one `Database.write` or `Database.read`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cenoby.access.principals import Autonomy, Kind, Principal, Seniority
from cenoby.store.engine import Connection


class Agent(msgspec.Struct, frozen=True):
    """A registered agent.

    Attributes:
        department, seniority, autonomy: as in `Principal`.
        parent: the agent for which it works; empty for one that nobody made.
        reason: why it was made, in the words of who made it.
        beyond_parent: whether an operator let it have rights that its parent lacks.
    """

    name: str
    tenant: str
    kind: Kind
    roles: tuple[str, ...]
    created_ns: int
    department: str = ""
    seniority: Seniority = ""
    autonomy: Autonomy = ""
    parent: str = ""
    reason: str = ""
    beyond_parent: bool = False

    def principal(self, token_id: str) -> Principal:
        """As whom it calls with one of its tokens."""
        return Principal(
            self.name,
            self.tenant,
            self.roles,
            self.kind,
            token_id,
            self.department,
            self.seniority,
            self.autonomy,
            self.parent,
        )


class Token(msgspec.Struct, frozen=True):
    """A token of an agent, as kept: its SHA-256, never its text. Times are Unix nanoseconds.

    Attributes:
        bound_to: thumbprint (RFC 7638) of the key that its holder must prove to have; empty for a bearer token.
        successor: id of the token that it was rotated to; such a token is never rotated again.
    """

    id: str
    agent: str
    sha256: str
    purpose: str
    created_ns: int
    expires_ns: int | None
    revoked_ns: int | None
    bound_to: str = ""
    successor: str = ""


_AGENTS = (
    "SELECT agent, tenant, kind, roles, created_ns, department, seniority, autonomy, parent, reason, beyond_parent"
    " FROM agents"
)
_TOKENS = "SELECT id, agent, sha256, purpose, created_ns, expires_ns, revoked_ns, bound_to, successor FROM tokens"


def read_agents(connection: Connection) -> dict[str, Agent]:
    """All agents by name."""
    return {row[0]: _agent(row) for row in connection.execute(_AGENTS)}


def read_agent(connection: Connection, name: str) -> Agent | None:
    """One agent."""
    row = connection.execute(f"{_AGENTS} WHERE agent = ?", (name,)).fetchone()
    return _agent(row) if row else None


def read_children(connection: Connection, parent: str) -> list[Agent]:
    """The agents that work for another one."""
    return [_agent(row) for row in connection.execute(f"{_AGENTS} WHERE parent = ?", (parent,)).fetchall()]


def put_agent(connection: Connection, agent: Agent) -> None:
    """Register an agent, or give the one of that name these properties; when it was made stays."""
    connection.execute(
        "INSERT INTO agents (agent, tenant, kind, roles, created_ns, department, seniority, autonomy, parent, reason,"
        " beyond_parent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (agent) DO UPDATE SET tenant = excluded.tenant, kind = excluded.kind, roles = excluded.roles,"
        " department = excluded.department, seniority = excluded.seniority, autonomy = excluded.autonomy,"
        " parent = excluded.parent, reason = excluded.reason, beyond_parent = excluded.beyond_parent",
        (
            agent.name,
            agent.tenant,
            agent.kind,
            " ".join(agent.roles),
            agent.created_ns,
            agent.department,
            agent.seniority,
            agent.autonomy,
            agent.parent,
            agent.reason,
            int(agent.beyond_parent),
        ),
    )


def read_tokens(connection: Connection) -> dict[str, Token]:
    """All tokens by id, revoked and expired ones too."""
    return {row[0]: Token(*row) for row in connection.execute(_TOKENS)}


def read_token(connection: Connection, identifier: str) -> Token | None:
    """One token."""
    row = connection.execute(f"{_TOKENS} WHERE id = ?", (identifier,)).fetchone()
    return Token(*row) if row else None


def add_token(connection: Connection, tenant: str, token: Token) -> None:
    """Add a token of an agent of that tenant."""
    connection.execute(
        "INSERT INTO tokens (id, tenant, agent, sha256, purpose, created_ns, expires_ns, bound_to)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            token.id,
            tenant,
            token.agent,
            token.sha256,
            token.purpose,
            token.created_ns,
            token.expires_ns,
            token.bound_to,
        ),
    )


def succeed_token(connection: Connection, identifier: str, successor: str, expires_ns: int) -> Token | None:
    """Say what follows a token, and until when it works beside that; None where something follows it already."""
    cursor = connection.execute(
        "UPDATE tokens SET successor = ?, expires_ns = ? WHERE id = ? AND successor = ''",
        (successor, expires_ns, identifier),
    )
    return read_token(connection, identifier) if cursor.rowcount == 1 else None


def revoke_token(connection: Connection, identifier: str, now_ns: int) -> Token | None:
    """Mark a token as revoked, and return it; the first revocation's time stays."""
    connection.execute("UPDATE tokens SET revoked_ns = ? WHERE id = ? AND revoked_ns IS NULL", (now_ns, identifier))
    return read_token(connection, identifier)


def _agent(row: tuple[Any, ...]) -> Agent:
    name, tenant, kind, roles, created_ns, department, seniority, autonomy, parent, reason, beyond = row
    labels = (department, seniority, autonomy, parent, reason)
    return Agent(name, tenant, kind, tuple(roles.split()), created_ns, *labels, beyond_parent=bool(beyond))
