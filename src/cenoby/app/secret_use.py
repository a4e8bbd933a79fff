"""How the colony itself uses secrets: each under a lease of the MAD that uses it, by the tool that is being served.

What goes to a server goes in a header that is written here, so that no MAD that the colony did not ship with holds it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from urllib.parse import quote_from_bytes

from cenoby.access.tokens import Identities
from cenoby.colony.mad import Fetch
from cenoby.colony.running import serving
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_policy import place_of
from cenoby.protection.egress_rules.sender import Sender
from cenoby.protection.vault.vault import Vault

_BLACKED_OUT = b"[secret]"


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
        body = without(fetched.body, value) if value else fetched.body
        return fetched.status, fetched.headers.get("content-type", ""), body

    return fetch


def without(body: bytes, value: str) -> bytes:
    """An answer in which a secret that it repeats is blacked out, also as base64, hexadecimal, or in a URL."""
    plain = value.encode()
    spellings = {plain, base64.b64encode(plain), base64.urlsafe_b64encode(plain), binascii.hexlify(plain)}
    spellings |= {binascii.hexlify(plain).upper(), quote_from_bytes(plain, safe="").encode()}
    for spelling in sorted(spellings, key=len, reverse=True):
        body = body.replace(spelling, _BLACKED_OUT)
    return body


def roles_of(identities: Identities, agent: str, tenant: str) -> tuple[str, ...]:
    """The roles of an agent of a tenant; none for one that is not known."""
    found = (one for one in identities.list_agents() if one.name == agent and one.tenant == tenant)
    return next((one.roles for one in found), ())
