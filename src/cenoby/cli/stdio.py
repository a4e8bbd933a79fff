"""`cenoby stdio`: the running colony over standard input and output, for clients that start a process."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path

from cenoby.app.data_dir import DataDirUnavailable, find
from cenoby.cli.colony_client import ColonyClient, connect
from cenoby.cli.options import Config, Data, Token
from cenoby.cli.settings_source import settings_for
from cenoby.kernel.errors import CenobyError
from cenoby.store.private_file import write_private

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
    token = _kept_token(file)
    if token:
        try:
            ColonyClient(find(data).url, token).request("tools/list", {})
        except CenobyError as error:
            if error.family != "unauthenticated":
                raise
        else:
            return token
    made = connect(data).call("mads.grace.create_token", {"agent": _AGENT, "roles": ["developer"]})
    try:
        write_private(file, made["token"])
    except OSError as error:
        raise DataDirUnavailable("data_unusable", f"{file} cannot be written: {error.strerror}.") from None
    return str(made["token"])


def _kept_token(file: Path) -> str:
    # Only a file that nobody else may have written or read holds a token of ours; another is made otherwise.
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(opened.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            return ""
        return opened.read(4096).decode("ascii", "replace").strip()
