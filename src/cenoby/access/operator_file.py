"""The operator's own token, which a process keeps in a file of its data directory."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cenoby.access.errors import AccessUnauthenticated
from cenoby.access.registration import Wish
from cenoby.access.tokens import Identities
from cenoby.kernel.envelope import DEFAULT_TENANT
from cenoby.store.private_file import read_private, write_private

OPERATOR = "operator"
_PURPOSE = "operator file"


async def ensure_operator(identities: Identities, file: Path, node: str = "") -> bool:
    """See to it that `file` holds a token of the agent `operator` that works, and nothing else; mode 0600.

    A file that is missing, or whose token no longer works, is written anew, and the token that was in it before is
    revoked. It never expires: without it nobody could let anybody in.

    Args:
        identities: all agents and tokens.
        file: of this process.
        node: whose file it is; those of other nodes are left alone.

    Returns:
        Whether a new token was made.

    Raises:
        OSError: the file cannot be written.
        StoreUnavailable: the token could not be made durable.
    """
    if _is_operator(identities, await asyncio.to_thread(read_private, file)):
        return False
    purpose = f"{_PURPOSE} {node}".strip()
    earlier = identities.ids_of(purpose)
    wish = Wish(name=OPERATOR, tenant=DEFAULT_TENANT, kind="person", roles=(OPERATOR,), anew=True)
    new = await identities.issue(wish, purpose=purpose)
    await asyncio.to_thread(write_private, file, new.text)
    for token_id in earlier:
        await identities.revoke(token_id)
    return True


def _is_operator(identities: Identities, text: str) -> bool:
    try:
        principal = identities.authenticate(text)
    except AccessUnauthenticated:
        return False
    return principal.agent == OPERATOR and OPERATOR in principal.roles
