"""How a file is turned away."""

from __future__ import annotations

from cenoby.kernel.errors import Refused


class FileForbidden(Refused):
    """A file that may not pass, and that nothing has opened but a cell."""

    codes = {
        "file_type": "Its content is of a type that `files` does not let pass in this direction.",
        "file_claim": "It is not what its media type or its name says; send it as what it is.",
        "file_ambiguous": "It is of two types at once, and who opens it might see the other one.",
        "file_too_large": "It is larger than `files` lets pass.",
        "file_active": "It holds something that acts when it is opened: a script, a program to launch, macros.",
        "file_archive": "What lies in the archive may not pass, or is more than `files.archives` allows.",
        "file_unreadable": "It is damaged or protected, so that nobody can see what is in it.",
    }
