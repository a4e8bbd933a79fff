"""How files in arguments and results meet the rules of `files`; no stage, but what two of them do."""

from __future__ import annotations

import hashlib
from typing import Any

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports
from cenoby.protection.files.attached import files_in
from cenoby.protection.files.checker import Direction
from cenoby.protection.files.errors import FileForbidden
from cenoby.protection.files.events import FileRefused
from cenoby.store.journal import Entry


async def check_files(ports: Ports, invocation: Invocation, direction: Direction, value: Any) -> None:
    """Let pass the files in `value`, or not.

    Raises:
        FileForbidden: a file in it may not; that is journalled first.
        CenobyError: one could not be looked into.
    """
    if ports.files is None:
        return
    for one in files_in(value):
        body = one.body
        try:
            if body is None:
                raise FileForbidden("file_unreadable", "A file is not the base64 that it is said to be; encode it so.")
            await ports.files.check(direction, body, one.media_type, one.name)
        except FileForbidden as error:
            await _journal(ports, invocation, direction, body or b"", error)
            raise


async def _journal(
    ports: Ports, invocation: Invocation, direction: Direction, body: bytes, error: FileForbidden
) -> None:
    caller = invocation.caller
    event = file_refused(direction, invocation.target.name, invocation.id, body, error)
    await ports.journal.append(Entry.event(event, tenant=caller.tenant, agent=caller.agent))


def file_refused(direction: Direction, tool: str, invocation: str, body: bytes, error: FileForbidden) -> FileRefused:
    """What is journalled of a file that did not pass; never its content."""
    return FileRefused(
        direction=direction,
        tool=tool,
        invocation=invocation,
        code=error.code,
        kind=str(error.details.get("kind", "")),
        size=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        notes=error.message[:500],
    )
