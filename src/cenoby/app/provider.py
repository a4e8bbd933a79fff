"""The identity provider of the status page, from the parts that it works with."""

from __future__ import annotations

from collections.abc import Mapping

from cenoby.app.shipped_mads import Parts
from cenoby.dashboard.provider import Provider
from cenoby.kernel.codec import CodecError
from cenoby.protection.egress_rules.sender import Sender

_OAUTH = Sender(part="oauth")
_SECONDS = 10.0
_LARGEST = 256 * 1024
"""Of an answer of its token endpoint: seconds and bytes."""


def sign_in_provider(parts: Parts) -> Provider | None:
    """The provider with which people sign in; None where the settings name none, and tokens are all there is."""
    settings, foreign = parts.settings.oauth.sign_in, parts.ports.identities.foreign
    if settings is None or foreign is None:
        return None
    name = settings.client_secret

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> bytes:
        answer = await parts.egress.fetch("POST", url, headers, body, by=_OAUTH, timeout=_SECONDS, max_bytes=_LARGEST)
        if answer.status != 200:
            # What it says may hold the code; the status says enough.
            raise CodecError("message_invalid", f"The provider's token endpoint answers {answer.status}.")
        return answer.body

    async def secret() -> str:
        return "" if name is None else await parts.vault.read_for_colony(name)

    return Provider(settings, foreign, post, secret, parts.ports.clock)
