"""A witness (C2SP tlog-witness): it signs a checkpoint only where that continues the one that it signed before.

It keeps one small file for each log, replaced whole and durable before it answers, and takes one request at a time, so
that two of them cannot both continue the same checkpoint.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from cenoby.kernel.clock import Clock
from cenoby.kernel.signing import SigningKey
from cenoby.protection.evidence.merkle import follows
from cenoby.protection.evidence.notes import Checkpoint, NoteInvalid, NoteKey, read_checkpoint
from cenoby.store.private_file import write_private

MOST_BYTES = 64 * 1024
_MOST_HASHES = 63
_TEXT, _SIZE = "text/plain; charset=utf-8", "text/x.tlog.size"


class Reply(NamedTuple):
    """What a request is answered with."""

    status: int
    body: str
    content_type: str = _TEXT


class Witness:
    """A witness of some logs.

    Args:
        name: its name in signature lines.
        key: what it signs with.
        logs: the keys of the logs that it knows.
        folder: where it keeps what it saw; it exists.
        clock: the time that it signs.
    """

    def __init__(self, name: str, key: SigningKey, logs: Sequence[NoteKey], folder: Path, clock: Clock) -> None:
        self.public = NoteKey(name, key.public, cosigns=True)
        self._key = key
        self._logs = logs
        self._folder = folder
        self._clock = clock
        self._one_at_a_time = Lock()

    def add_checkpoint(self, body: bytes) -> Reply:
        """Answer `POST /add-checkpoint`; blocks for a write to disk.

        Raises:
            OSError: what it saw cannot be read or kept; then it has signed nothing.
        """
        try:
            old, proof, checkpoint = _request(body)
        except (NoteInvalid, ValueError):
            return Reply(400, "This is no request of tlog-witness.\n")
        keys = [key for key in self._logs if key.name == checkpoint.origin]
        if not keys:
            return Reply(404, "This log is not known here.\n")
        try:
            checkpoint.of_log(keys)
        except NoteInvalid:
            return Reply(403, "No key that is known here has signed this.\n")
        if old > checkpoint.size:
            return Reply(400, "The old size is larger than the checkpoint's.\n")
        with self._one_at_a_time:
            return self._cosign(old, proof, checkpoint)

    def _cosign(self, old: int, proof: list[bytes], checkpoint: Checkpoint) -> Reply:
        file = self._folder / f"{sha256(checkpoint.origin.encode()).hexdigest()}.log"
        size, root = _seen(file)
        if old != size or (old == checkpoint.size and old and root != checkpoint.root):
            return Reply(409, f"{size}\n", _SIZE)
        if size and not follows(size, root, checkpoint.size, checkpoint.root, proof):
            return Reply(422, "The log does not continue what was seen of it before.\n")
        if not size and proof:
            return Reply(422, "Nothing was seen of this log before, so there is nothing to prove.\n")
        if checkpoint.size > size:
            write_private(file, f"{checkpoint.size} {checkpoint.root.hex()}\n")
        seconds = self._clock.now_ns() // 1_000_000_000
        return Reply(200, checkpoint.cosignature(self.public.name, self._key, seconds))


def _seen(file: Path) -> tuple[int, bytes]:
    try:
        size, _, root = file.read_text("ascii").strip().partition(" ")
    except FileNotFoundError:
        return 0, b""
    return int(size), bytes.fromhex(root)


def _request(body: bytes) -> tuple[int, list[bytes], Checkpoint]:
    """Old size, proof and checkpoint of a request.

    Raises:
        ValueError, NoteInvalid: it is none.
    """
    head, _, note = body.decode("utf-8").partition("\n\n")
    first, *hashes = head.split("\n")
    word, _, size = first.partition(" ")
    if word != "old" or not size.isascii() or not size.isdecimal() or len(size) > 18 or str(int(size)) != size:
        raise ValueError("no old size")
    if len(hashes) > _MOST_HASHES or len(body) > MOST_BYTES:
        raise ValueError("too long")
    try:
        proof = [base64.b64decode(one, validate=True) for one in hashes]
    except binascii.Error as error:
        raise ValueError("a hash is not base64") from error
    if any(len(one) != 32 for one in proof):
        raise ValueError("a hash is too short")
    return int(size), proof, read_checkpoint(note)
