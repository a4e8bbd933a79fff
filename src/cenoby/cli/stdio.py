"""`cenoby stdio`: the running colony over standard input and output, for clients that start a process."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from cenoby.app.data_dir import find
from cenoby.cli.colony_client import ColonyClient, connect
from cenoby.cli.options import Config, Data, Token
from cenoby.cli.settings_source import settings_for
from cenoby.kernel.errors import CenobyError

_AGENT = "stdio"


def stdio(*, data: Data = None, config: Config = None, token: Token = None) -> int:
    """Speak MCP on standard input and output to the running colony.

    Acts with --token or CENOBY_TOKEN; without either, as the agent `stdio` with the role developer, whose token is made
    at first use and kept in DATA/stdio.token.
    """
    directory = settings_for(data, config).data
    url = find(directory).url
    credential = token or os.environ.get("CENOBY_TOKEN") or _own_token(directory)
    from cenoby.gateway.stdio_bridge import bridge

    return asyncio.run(bridge(url, credential, sys.stdin.buffer, sys.stdout.buffer))


def _own_token(data: Path) -> str:
    file = data / "stdio.token"
    if file.exists():
        token = file.read_text().strip()
        try:
            ColonyClient(find(data).url, token).request("tools/list", {})
        except CenobyError as error:
            if error.family != "unauthenticated":
                raise
        else:
            return token
    made = connect(data).call("mads.grace.create_token", {"agent": _AGENT, "roles": ["developer"]})
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(made["token"])
    return str(made["token"])
