"""What the log of evidence journals: alarms, and the keys that sign it."""

from __future__ import annotations

from cenoby.kernel.events import Event


class EvidenceInconsistent(Event, frozen=True, tag="evidence_inconsistent.v1"):
    """The journal is no longer what a checkpoint says that it was: somebody rewrote one of them. Nothing more is
    published there until a person has found out who.

    Attributes:
        place: where the other checkpoint is: the name of a destination, or `here`.
        size, published: the log's size now, and that of the checkpoint that it contradicts.
        reason: in words.
    """

    place: str
    size: int
    published: int
    reason: str


class EvidenceUnpublished(Event, frozen=True, tag="evidence_unpublished.v1"):
    """No checkpoint reached a destination for longer than `evidence.alarm_after`.

    Attributes:
        place: name of the destination.
        attempts: that failed in a row.
        reason: why the last one did.
    """

    place: str
    attempts: int
    reason: str


class EvidencePublishedAgain(Event, frozen=True, tag="evidence_published_again.v1"):
    """A destination about which there was an alarm has a checkpoint again.

    Attributes:
        place: name of the destination.
        size: the checkpoint's.
    """

    place: str
    size: int


class LogKeysChanged(Event, frozen=True, tag="log_keys_changed.v1"):
    """Other keys sign checkpoints from now on than when the last one was made; at first start, the first ones do.

    Attributes:
        keys: all that sign, NAME+ID+BASE64, the newest first.
    """

    keys: tuple[str, ...]
