"""What holds a sandboxed process, in words for the log, for `status` and for `doctor`."""

from __future__ import annotations

from cenoby.sandbox.frames import Protections


def sandbox_words(held: Protections) -> dict[str, str]:
    """By name, e.g. `{"landlock": "ABI 4", "user": "missing: the colony's own user"}`."""
    return {
        "process limits": "held" if held.rlimits else "missing",
        "user": f"uid {held.uid}" if held.uid is not None else "missing: the colony's own user",
        "privileges": "none can be gained" if held.no_new_privileges else "missing",
        "landlock": f"ABI {held.landlock}" if held.landlock else "missing in this kernel",
        "seccomp": "held" if held.seccomp else "missing in this kernel",
    }
