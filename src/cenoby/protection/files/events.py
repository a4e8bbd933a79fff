"""What happens to files."""

from __future__ import annotations

from cenoby.kernel.events import Event


class FileRefused(Event, frozen=True, tag="file_refused.v1"):
    """A file did not pass; `notes` says why.

    Attributes:
        direction: `arguments`, `results` or `fetched`.
        tool: whose arguments or result it was in, or which fetched it.
        invocation: id of the call.
        code: the error's code.
        kind: its type by content.
        size: its bytes.
        sha256: of its content.
    """

    direction: str
    tool: str
    invocation: str
    code: str
    kind: str
    size: int
    sha256: str
