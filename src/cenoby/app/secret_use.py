"""How the colony itself uses secrets: each under a lease of the MAD that uses it, by the tool that is being served.

What goes to a server goes in a header that is written here, so that no MAD that the colony did not ship with holds it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cenoby.access.tokens import Identities
from cenoby.colony.mad import Fetch
from cenoby.colony.running import serving
from cenoby.kernel.settings_secrets import SecretSettings
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_policy import place_of
from cenoby.protection.egress_rules.sender import Sender
from cenoby.protection.spellings import without_in_bytes
from cenoby.protection.vault.vault import Vault


def secret_sent(vault: Vault, mad: str) -> Callable[[str, str], Awaitable[str]]:
    """Reads a secret that goes to a server: `(name, url) -> value`, ready for a header.

    Args:
        vault: where it is.
        mad: who uses it.
    """

    async def read(name: str, url: str) -> str:
        return await vault.read_for_colony(name, mad=mad, tool=serving.get(), to=place_of(url), leased=True)

    return read


def secret_told(vault: Vault, mad: str) -> Callable[[str], Awaitable[str]]:
    """Reads a secret for a hosted MAD that is named as its reader: `(name) -> value`."""

    async def read(name: str) -> str:
        return await vault.read_for_mad(mad, name, tool=serving.get())

    return read


def fetch_with_secret(egress: EgressGuard, vault: Vault, mad: str, by: Sender) -> Fetch:
    """What fetches for a hosted MAD, with a secret in a header where it names one."""

    async def fetch(
        url: str, *, secret: str = "", header: str = "authorization", form: str = "Bearer {}"
    ) -> tuple[int, str, bytes]:
        headers: dict[str, str] = {}
        value = ""
        if secret:
            value = await vault.read_for_mad(mad, secret, tool=serving.get(), to=place_of(url))
            headers[header] = form.replace("{}", value)
        fetched = await egress.fetch("GET", url, headers, by=by)
        body = without_in_bytes(fetched.body, value) if value else fetched.body
        return fetched.status, fetched.headers.get("content-type", ""), body

    return fetch


def roles_of(identities: Identities, agent: str, tenant: str) -> tuple[str, ...]:
    """The roles of an agent of a tenant; none for one that is not known."""
    found = (one for one in identities.list_agents() if one.name == agent and one.tenant == tenant)
    return next((one.roles for one in found), ())


def renewing_modules(settings: SecretSettings) -> set[str]:
    """The modules whose functions give secrets their next values, in the sandbox."""
    rotations = [terms.rotation for terms in settings.named.values()]
    return {one.task.partition(":")[0] for one in rotations if one is not None and one.task is not None}
