"""identify: who calls."""

from __future__ import annotations

from cenoby.access.approvals.still import still
from cenoby.access.principals import Principal
from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports


class Identify:
    """Turns the credential into a principal. A call from inside brings its principal with it."""

    name = "identify"

    def __init__(self, ports: Ports) -> None:
        self._identities = ports.identities

    async def __call__(self, invocation: Invocation) -> None:
        # A gateway has asked before it let the request in; it is asked here for every way in, and as of now: a call may
        # have waited for its body while its token was revoked.
        credential = invocation.credential
        invocation.ends_seen = self._identities.ends
        invocation.principal = (
            credential if isinstance(credential, Principal) else self._identities.authenticate(credential)
        )
        if invocation.resumes:
            invocation.principal = still(self._identities, invocation.principal)
