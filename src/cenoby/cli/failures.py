"""What ends a command that is neither the colony's answer nor bad input."""

from __future__ import annotations

from cenoby.kernel.errors import Fault


class CommandFailed(Fault):
    """A command met something that should not be."""

    codes = {
        "command_failed": "A bug of ours: run the command again with CENOBY_TRACEBACK=1 and report what it prints.",
        "demo_failed": "A step of the demo did not do what it should; the message names the step.",
        "journal_broken": "A record was changed, dropped or moved; the message names the first bad one.",
    }
