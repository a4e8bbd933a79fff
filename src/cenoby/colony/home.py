"""What moves the whole colony is for the operators of its own tenant: those of another one run only what is theirs."""

from __future__ import annotations

from cenoby.access.roles import AccessRefused
from cenoby.colony.invocation import Call
from cenoby.kernel.envelope import DEFAULT_TENANT


def is_home(call: Call) -> bool:
    """Whether the caller is of the colony's own tenant."""
    return call.principal.tenant == DEFAULT_TENANT


def require_home(call: Call) -> None:
    """Pass if the caller is of the colony's own tenant.

    Raises:
        AccessRefused: `tenant_bound`.
    """
    if not is_home(call):
        raise AccessRefused(
            "tenant_bound",
            f"This moves the whole colony; an operator of the tenant {DEFAULT_TENANT!r} must do it, and "
            f"{call.principal.agent!r} is of {call.principal.tenant!r}.",
        )
