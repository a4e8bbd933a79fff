"""The one error hierarchy.

    CenobyError
    ├── InvalidInput      what came in cannot be understood; the same call will fail again      exit 2   HTTP 400
    ├── Unauthenticated   nobody we know                                                        exit 3   HTTP 401
    ├── Refused           understood, known, and not allowed                                    exit 4   HTTP 403
    ├── NotFound          names something that is not there, or not for this caller             exit 5   HTTP 404
    ├── Unavailable       allowed, but not now; `retry_after` says when                         exit 6   HTTP 503
    └── Fault             our own failure, or a tool's; the journal and the log hold the cause  exit 1   HTTP 500

A package derives a few classes from these families and lists their codes in `codes`. A class stands beside its raiser,
or in `errors.py` of its package where several modules raise it. A code is stable: clients and policies may match on it.
Messages tell a person what to do next and never hold a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class CenobyError(Exception):
    """Something Cenoby says no to, with a stable code and a message a person can act on.

    Args:
        code: one of the class's `codes`.
        message: what happened and what to do next; shown to callers.
        retry_after: seconds after which the same call may succeed, where waiting helps.
        details: further facts, plain JSON types, shown to callers.

    Raises:
        ValueError: `code` is not declared by the class.
    """

    family: ClassVar[str] = "fault"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    codes: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        if code not in self.codes:
            raise ValueError(f"{type(self).__name__} declares no error code {code!r}")
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.details = dict(details or {})
        self.record = ""
        """Id of the journal record of the call that it ended, once there is one."""

    def to_wire(self) -> dict[str, Any]:
        """As plain JSON types: `code`, `message`, `family` and, where known, `retry_after`, `details` and `record`."""
        wire: dict[str, Any] = {"code": self.code, "message": self.message, "family": self.family}
        if self.retry_after is not None:
            wire["retry_after"] = round(self.retry_after, 3)
        if self.details:
            wire["details"] = self.details
        if self.record:
            wire["record"] = self.record
        return wire


class InvalidInput(CenobyError):
    """What came in cannot be understood; the same input will fail again."""

    family = "invalid"
    exit_code = 2
    http_status = 400


class Unauthenticated(CenobyError):
    """The caller is nobody we know."""

    family = "unauthenticated"
    exit_code = 3
    http_status = 401


class Refused(CenobyError):
    """Understood, from somebody known, and not allowed."""

    family = "refused"
    exit_code = 4
    http_status = 403


class NotFound(CenobyError):
    """Names something that does not exist, or not for this caller."""

    family = "not_found"
    exit_code = 5
    http_status = 404


class Unavailable(CenobyError):
    """Allowed, but not now; `retry_after` says when."""

    family = "unavailable"
    exit_code = 6
    http_status = 503


class Fault(CenobyError):
    """Our own failure, or a tool's; the journal and the log hold the cause."""


FAMILIES: Mapping[str, type[CenobyError]] = {
    cls.family: cls for cls in (InvalidInput, Unauthenticated, Refused, NotFound, Unavailable, Fault)
}


def error_codes() -> dict[str, tuple[type[CenobyError], str]]:
    """Every declared code of every imported error class, with its class and its meaning; for documentation and tests.

    Raises:
        ValueError: two classes declare the same code.
    """
    found: dict[str, tuple[type[CenobyError], str]] = {}
    pending: list[type[CenobyError]] = [CenobyError]
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        for code, meaning in cls.__dict__.get("codes", {}).items():
            if code in found and found[code][0] is not cls:
                raise ValueError(f"{cls.__name__} and {found[code][0].__name__} both declare {code!r}")
            found[code] = (cls, meaning)
    return dict(sorted(found.items()))


def error_from_wire(wire: Mapping[str, Any]) -> CenobyError:
    """The error that `CenobyError.to_wire` described, as the class that declares its code.

    Where nobody here declares the code (a newer node, a colony asked by an older command), its family's own class.
    """
    code, message = str(wire.get("code", "unknown")), str(wire.get("message", ""))
    declared = error_codes().get(code)
    cls = declared[0] if declared else FAMILIES.get(str(wire.get("family")), Fault)
    error = cls.__new__(cls)
    if declared is None:
        vars(error)["codes"] = {code: message}
    CenobyError.__init__(error, code, message, retry_after=wire.get("retry_after"), details=wire.get("details"))
    error.record = str(wire.get("record", ""))
    return error
