"""What can go wrong with evidence."""

from __future__ import annotations

from cenoby.kernel.errors import Fault, NotFound


class EvidenceFailed(Fault):
    """The log cannot be continued, signed or published as it stands."""

    codes = {
        "log_key_unusable": "The key that signs checkpoints cannot be made or read; the message says why.",
        "log_inconsistent": "The journal contradicts a checkpoint that was made of it; one of them was rewritten.",
        "log_gap": "A record is missing between those that the log has and the next; run `cenoby journal verify`.",
        "evidence_unpublished": "A destination did not take the checkpoint; the message says why.",
        "evidence_damaged": "A record is not in the form in which it was hashed; run `cenoby journal verify`.",
    }


class EvidenceMissing(NotFound):
    """There is nothing there to prove it with."""

    codes = {
        "checkpoint_missing": "No checkpoint covers that yet; make one with `cenoby evidence checkpoint`.",
        "evidence_record_unknown": "The log has no such record; `cenoby journal tail` shows ids.",
    }
