"""The agents that the settings declare, and the authorities that vouch for others."""

from __future__ import annotations

from cenoby.access.events import AgentDeclared
from cenoby.access.oauth.resource import ForeignTokens
from cenoby.access.registration import Wish
from cenoby.access.tokens import Identities
from cenoby.colony.stages import Ports
from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import CodecError
from cenoby.kernel.settings import Settings
from cenoby.kernel.settings_file import SettingsError
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_rules.sender import Sender
from cenoby.store.journal import Entry, Journal


async def declare_agents(settings: Settings, identities: Identities, journal: Journal) -> None:
    """Register the declared agents, in the order of the settings; each that is new or changed has its record.

    Raises:
        AccessRefused: one of them cannot be what the settings say; none was changed.
        StoreUnavailable: it could not be made durable.
    """
    wishes = [
        Wish(
            name=name,
            roles=tuple(sorted(set(agent.roles))),
            tenant=agent.tenant,
            kind=agent.kind,
            department=agent.department,
            seniority=agent.seniority,
            autonomy=agent.autonomy,
            parent=agent.parent,
            reason=agent.reason,
            replace=True,
            beyond_parent=agent.beyond_parent,
        )
        for name, agent in settings.agents.items()
    ]
    for agent in await identities.declare(wishes):
        event = AgentDeclared(
            agent=agent.name,
            tenant=agent.tenant,
            roles=agent.roles,
            department=agent.department,
            seniority=agent.seniority,
            autonomy=agent.autonomy,
            parent=agent.parent,
            notes=agent.reason,
        )
        await journal.append(Entry.event(event, tenant=agent.tenant))


_OAUTH = Sender(part="oauth")
_JSON = {"accept": "application/json"}
_SECONDS = 5.0
_LARGEST = 256 * 1024
"""Of what an issuer says of itself and its keys: seconds and bytes."""


def foreign_tokens(settings: Settings, egress: EgressGuard, clock: Clock, ports: Ports) -> ForeignTokens | None:
    """What verifies the tokens of other authorities; None where the settings name none.

    Raises:
        SettingsError: `settings_invalid`: the settings do not say as what clients know this resource.
        AccessRefused: `role_unknown`: a claim is translated into a role that does not exist.
    """
    oauth = settings.oauth
    if not oauth.issuers:
        return None
    if oauth.resource is None:
        raise SettingsError("settings_invalid", "oauth.resource: say the URL of /mcp as clients know it.")
    if oauth.sign_in is not None and oauth.sign_in.issuer not in oauth.issuers:
        raise SettingsError("settings_invalid", f"oauth.sign_in: there is no issuer {oauth.sign_in.issuer!r}.")

    async def fetch(url: str) -> bytes:
        answer = await egress.fetch("GET", url, _JSON, by=_OAUTH, timeout=_SECONDS, max_bytes=_LARGEST)
        if answer.status != 200:
            raise CodecError("message_invalid", f"{url} answers {answer.status}")
        return answer.body

    return ForeignTokens(oauth, fetch, clock, ports.identities.blocks, ports.roles)
