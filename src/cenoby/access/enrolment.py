"""Enrolled nodes: the processes of a colony whose signature is believed, by their public keys.

A person enrols a node, once; the first node of a colony enrols itself, because before it there is nobody to ask.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import msgspec

from cenoby.access.roles import AccessRefused
from cenoby.kernel.clock import Clock
from cenoby.kernel.signing import SigningKey, VerifyKey
from cenoby.store.database import Database, StoreUnavailable
from cenoby.store.engine import Connection
from cenoby.store.private_file import read_private, write_private
from cenoby.telemetry.logs import get_logger

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FRESH_NS = 1_000_000_000
"""So long the keys that were read are believed without asking the store: a revocation takes no longer to be seen."""
_NEVER_NS = -_FRESH_NS
_PATIENCE_SECONDS = 1.0
_log = get_logger("access.enrolment")


class NodeInfo(msgspec.Struct, frozen=True):
    """An enrolled node. Times are Unix nanoseconds; `enrolled_by` is empty for the first one."""

    name: str
    public_key: str
    enrolled_by: str
    enrolled_ns: int
    revoked_ns: int | None = None


class Enrolment:
    """Who is enrolled, as the store says.

    Args:
        database: where it lasts; all nodes of a colony share it.
        clock: the time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._keys: dict[str, VerifyKey] = {}
        self._read_ns = _NEVER_NS
        self._was_read = False
        self._reading = asyncio.Lock()

    async def key_of(self, node: str) -> VerifyKey | None:
        """The key of an enrolled node that was not revoked; None for any other.

        While the store cannot be asked, what it said last holds: nobody can enrol or revoke meanwhile either.

        Raises:
            StoreUnavailable: it could not be read yet.
        """
        if self._is_old(node):
            async with self._reading:
                if self._is_old(node):
                    await self._read_keys()
        return self._keys.get(node)

    def _is_old(self, node: str) -> bool:
        # Who is not among them may have been enrolled just now.
        return self._clock.monotonic_ns() - self._read_ns >= (_FRESH_NS if node in self._keys else _FRESH_NS // 10)

    async def _read_keys(self) -> None:
        """All keys at once: names are anybody's to send, and none of them may cost a query."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS if self._was_read else None):
                nodes = await self.list_nodes()
        except (StoreUnavailable, TimeoutError) as error:
            if not self._was_read:
                raise
            _log.warning("enrolment_unread", reason=str(error))
        else:
            self._keys = {one.name: VerifyKey.from_text(one.public_key) for one in nodes if one.revoked_ns is None}
            self._was_read = True
        self._read_ns = self._clock.monotonic_ns()

    async def find(self, node: str) -> NodeInfo | None:
        """What is known of a node, revoked or not."""
        return await self._database.read(lambda connection: _find(connection, node))

    async def list_nodes(self) -> list[NodeInfo]:
        """All that were ever enrolled, by name."""
        return await self._database.read(_all)

    async def enroll(self, node: str, public_key: str, by: str) -> NodeInfo:
        """Believe a node's signature from now on; a node that is enrolled with another key must be revoked first.

        Args:
            node: its name, lower-case letters, digits and dashes.
            public_key: as `VerifyKey.to_text` writes it.
            by: who enrols it.

        Raises:
            KeyInvalid: the text is no public key.
            AccessRefused: `node_invalid`: the name is none, or it is enrolled with another key.
        """
        key = VerifyKey.from_text(public_key).to_text()
        if not _NAME.fullmatch(node):
            raise AccessRefused(
                "node_invalid", f"{node!r} is no name; use up to 63 lower-case letters, digits and '-'."
            )
        new = NodeInfo(node, key, by, self._clock.now_ns())
        found = await self._database.write(lambda connection: _enroll(connection, new))
        if found.public_key != key or found.revoked_ns is not None:
            raise AccessRefused(
                "node_invalid", f"{node!r} is enrolled with another key; revoke that with `cenoby node revoke {node}`."
            )
        self._read_ns = _NEVER_NS
        return found

    async def enroll_first(self, node: str, public_key: str) -> bool:
        """Enrol a node where none ever was; whether it is enrolled now, with this key and not revoked."""
        new = NodeInfo(node, public_key, "", self._clock.now_ns())
        found = await self._database.write(lambda connection: _enroll_first(connection, new))
        return found is not None and found.public_key == public_key and found.revoked_ns is None

    async def revoke(self, node: str) -> NodeInfo:
        """Believe a node no more; each node notices within a second.

        Raises:
            AccessRefused: `node_invalid`: none of that name is enrolled.
        """
        now_ns = self._clock.now_ns()
        found = await self._database.write(lambda connection: _revoke(connection, node, now_ns))
        if found is None:
            raise AccessRefused(
                "node_invalid", f"No node {node!r} is enrolled; `cenoby node list` shows those that are."
            )
        self._read_ns = _NEVER_NS
        return found

    async def remove(self, node: str) -> None:
        """Forget a node that a running colony had enrolled for a process of its own, and that has ended."""
        await self._database.write(lambda connection: _remove(connection, node))
        self._read_ns = _NEVER_NS


def node_key(file: Path) -> SigningKey:
    """The private key that a node keeps in its data directory; made, mode 0600, where it is missing. Blocks.

    Raises:
        KeyInvalid: the file holds something else.
        OSError: it cannot be read or written.
    """
    text = read_private(file)
    if text:
        return SigningKey.from_text(text)
    key = SigningKey.generate()
    write_private(file, key.to_text() + "\n")
    return key


_ALL = "SELECT name, public_key, enrolled_by, enrolled_ns, revoked_ns FROM nodes"


def _find(connection: Connection, node: str) -> NodeInfo | None:
    row = connection.execute(f"{_ALL} WHERE name = ?", (node,)).fetchone()
    return None if row is None else NodeInfo(*row)


def _all(connection: Connection) -> list[NodeInfo]:
    return [NodeInfo(*row) for row in connection.execute(f"{_ALL} ORDER BY name")]


def _enroll(connection: Connection, new: NodeInfo) -> NodeInfo:
    """Write `new` where its name is free, or was given up; what stands there then."""
    known = _find(connection, new.name)
    if known is not None and known.revoked_ns is None:
        return known
    _remove(connection, new.name)
    connection.execute(
        "INSERT INTO nodes (name, public_key, enrolled_by, enrolled_ns) VALUES (?, ?, ?, ?)",
        (new.name, new.public_key, new.enrolled_by, new.enrolled_ns),
    )
    return new


def _enroll_first(connection: Connection, new: NodeInfo) -> NodeInfo | None:
    """Write `new` where there is none at all; what stands under its name then."""
    if connection.execute("SELECT 1 FROM nodes LIMIT 1").fetchone() is None:
        return _enroll(connection, new)
    return _find(connection, new.name)


def _remove(connection: Connection, node: str) -> None:
    connection.execute("DELETE FROM nodes WHERE name = ?", (node,))


def _revoke(connection: Connection, node: str, now_ns: int) -> NodeInfo | None:
    connection.execute("UPDATE nodes SET revoked_ns = ? WHERE name = ? AND revoked_ns IS NULL", (now_ns, node))
    return _find(connection, node)
