"""Why a colony takes no such call at the moment."""

from __future__ import annotations

from cenoby.kernel.errors import Unavailable


class ColonyUnavailable(Unavailable):
    """The colony, or the MAD that is wanted, takes no such call at the moment."""

    codes = {
        "mailbox_full": "Too many calls wait for this MAD; try again after `retry_after` seconds.",
        "circuit_open": "It failed again and again and is left alone; the message has the reason, try again later.",
        "circuit_held_open": "A person opened this circuit; they say in the message why, and must close it again.",
        "mad_down": "The MAD was killed, or broke too often; the message says why. A person must restart it.",
        "mad_stopped": "The MAD was stopped or restarted during the call; its work may be done in part.",
    }
