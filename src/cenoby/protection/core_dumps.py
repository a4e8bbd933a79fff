"""Keeping secrets out of core dumps and away from debuggers of the same user."""

from __future__ import annotations

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> bool:
    """From now on this process leaves no core dump; on Linux no unprivileged process can read its memory either.

    Sets RLIMIT_CORE to 0 and PR_SET_DUMPABLE to 0 (prctl(2)); children that execute a program lose the latter. The
    entries of the process under /proc belong to root from here on.

    Returns:
        Whether memory is closed to other processes of the same user, too.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
