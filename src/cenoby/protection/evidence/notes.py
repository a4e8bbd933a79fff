"""Signed notes, checkpoints and cosignatures as C2SP writes them (signed-note, tlog-checkpoint, tlog-cosignature).

A note is a text that ends in a newline, an empty line, and signature lines `— NAME base64(key id, signature)`. A
checkpoint is a note whose text is the log's origin, its size and its root. A witness signs the same text together with
the time at which it had seen that nothing before was changed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from cenoby.kernel.errors import InvalidInput
from cenoby.kernel.signing import KeyInvalid, SigningKey, VerifyKey

_LOG, _WITNESS = 1, 4
_ID_BYTES = 4
_MOST_BYTES = 64 * 1024
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]+")
_LINE = re.compile(r"— (\S+) ([A-Za-z0-9+/]+={0,2})")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class NoteInvalid(InvalidInput):
    """A text that is no checkpoint, no key of a note, or not signed by whom it should be."""

    codes = {
        "note_invalid": "The text is no checkpoint, or no key NAME+ID+BASE64; give it as it was printed.",
        "note_untrusted": "No key that is believed has signed the checkpoint; it may be somebody else's.",
    }


class NoteKey(msgspec.Struct, frozen=True):
    """A public key that signs notes.

    Attributes:
        name: whose it is: a log's origin, or a witness's name.
        key: the key.
        cosigns: it is a witness's.
    """

    name: str
    key: VerifyKey
    cosigns: bool = False

    @property
    def id(self) -> bytes:
        """Its four bytes in signature lines."""
        return _key_id(self.name, self.key, self.cosigns)

    def to_text(self) -> str:
        """`NAME+ID+BASE64`, the verifier key of C2SP's signed-note."""
        kind = bytes([_WITNESS if self.cosigns else _LOG])
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(kind + _raw(self.key)).decode()}"

    @classmethod
    def from_text(cls, text: str) -> NoteKey:
        """The key that `to_text` wrote.

        Raises:
            NoteInvalid: it is none, or its id is not its own.
        """
        name, _, rest = text.strip().partition("+")
        written, _, encoded = rest.partition("+")
        raw = _decoded(encoded)
        if not _NAME.fullmatch(name) or len(raw) != 33 or raw[0] not in (_LOG, _WITNESS):
            raise NoteInvalid("note_invalid", f"{text[:120]!r} is no key NAME+ID+BASE64.")
        try:
            key = VerifyKey.from_text("ed25519:" + base64.b64encode(raw[1:]).decode())
        except (KeyInvalid, ValueError):
            raise NoteInvalid("note_invalid", f"{text[:120]!r} holds no Ed25519 key.") from None
        found = cls(name, key, raw[0] == _WITNESS)
        if found.id.hex() != written:
            raise NoteInvalid("note_invalid", f"{text[:120]!r}: the id is not that of the key.")
        return found


class Checkpoint(msgspec.Struct, frozen=True):
    """What a log says of itself: that its first `size` leaves have this root.

    Attributes:
        origin: the log's name.
        size: leaves.
        root: 32 bytes.
        text: the very text that is signed.
        signatures: the lines under it, each with its newline.
    """

    origin: str
    size: int
    root: bytes
    text: str
    signatures: tuple[str, ...] = ()

    @classmethod
    def of(cls, origin: str, size: int, root: bytes) -> Checkpoint:
        """A checkpoint that nobody has signed yet."""
        return cls(origin, size, root, f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n")

    @property
    def note(self) -> str:
        """The whole note."""
        return f"{self.text}\n{''.join(self.signatures)}"

    def signed(self, name: str, key: SigningKey) -> Checkpoint:
        """With the signature of a log's key."""
        line = _line(name, _key_id(name, key.public, False) + key.sign(self.text.encode()))
        return self.joined([line])

    def cosignature(self, name: str, key: SigningKey, seconds: int) -> str:
        """The line by which a witness says that it saw this checkpoint, consistent with those before, at that time."""
        signature = key.sign(_witnessed(self.text, seconds))
        return _line(name, _key_id(name, key.public, True) + seconds.to_bytes(8, "big") + signature)

    def joined(self, lines: Sequence[str]) -> Checkpoint:
        """With further signature lines; those that are there already are not repeated."""
        return msgspec.structs.replace(self, signatures=tuple(dict.fromkeys((*self.signatures, *lines))))

    def signed_by(self, key: NoteKey) -> int | None:
        """When this witness saw it (Unix seconds), 0 for a log's own key, None where it has not signed.

        Raises:
            NoteInvalid: note_untrusted: there is a signature in its name that does not hold.
        """
        for line in self.signatures:
            name, raw = _parts(line)
            if name != key.name or raw[:_ID_BYTES] != key.id:
                continue
            rest = raw[_ID_BYTES:]
            seconds = int.from_bytes(rest[:8], "big") if key.cosigns else 0
            data = _witnessed(self.text, seconds) if key.cosigns else self.text.encode()
            if not key.key.verifies(data, rest[8:] if key.cosigns else rest):
                raise NoteInvalid("note_untrusted", f"The signature of {name} under the checkpoint does not hold.")
            return seconds
        return None

    def of_log(self, keys: Sequence[NoteKey]) -> Checkpoint:
        """Itself, where one of a log's keys has signed it in the log's name.

        Raises:
            NoteInvalid: note_untrusted: none has.
        """
        if any(key.name == self.origin and not key.cosigns and self.signed_by(key) is not None for key in keys):
            return self
        raise NoteInvalid("note_untrusted", f"No key that is believed has signed this checkpoint of {self.origin}.")


def read_checkpoint(note: str) -> Checkpoint:
    """The checkpoint that a note holds; nobody's signature is checked.

    Raises:
        NoteInvalid: it holds none.
    """
    text, _, below = note.rpartition("\n\n")
    text += "\n"
    lines = text.split("\n")
    signatures = [line + "\n" for line in below.removesuffix("\n").split("\n")]
    root = _decoded(lines[2]) if len(lines) > 3 else b""
    wrong = (
        len(note) > _MOST_BYTES
        or any(char < " " and char != "\n" for char in note)
        or len(root) != 32
        or not lines[0]
        or not _SIZE.fullmatch(lines[1])
        or "" in lines[:-1]
        or not below.endswith("\n")
        or not all(_parts(one)[1] for one in signatures)
    )
    if wrong:
        raise NoteInvalid("note_invalid", "This is no signed checkpoint of C2SP's tlog-checkpoint.")
    return Checkpoint(lines[0], int(lines[1]), root, text, tuple(signatures))


def cosignatures_in(answer: str) -> list[str]:
    """The signature lines that a witness answered with; anything else is left out."""
    return [line + "\n" for line in answer[:_MOST_BYTES].split("\n") if _parts(line)[1]]


def _parts(line: str) -> tuple[str, bytes]:
    found = _LINE.fullmatch(line.removesuffix("\n"))
    raw = _decoded(found[2]) if found else b""
    return (found[1], raw) if found and len(raw) > _ID_BYTES else ("", b"")


def _line(name: str, raw: bytes) -> str:
    return f"— {name} {base64.b64encode(raw).decode()}\n"


def _witnessed(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _key_id(name: str, key: VerifyKey, cosigns: bool) -> bytes:
    kind = bytes([_WITNESS if cosigns else _LOG])
    return sha256(name.encode() + b"\n" + kind + _raw(key)).digest()[:_ID_BYTES]


def _raw(key: VerifyKey) -> bytes:
    return base64.b64decode(key.to_text().partition(":")[2])


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
