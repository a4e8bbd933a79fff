"""What the claims of another authority mean here: whose tenant, which roles, which name.

Nothing is taken over as it is. A value that the settings do not translate means nothing: no role, no department, and
for a tenant, no entrance.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from cenoby.access.principals import Kind, Principal
from cenoby.access.roles import AccessRefused
from cenoby.kernel.settings_identity import IssuerSettings

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_NAME = 63
_MOST_VALUES = 1000


def principal_of(
    name: str, issuer: IssuerSettings, claims: Mapping[str, Any], token_id: str, kind: Kind | None = None
) -> Principal:
    """Who the claims are about, as the settings translate them.

    Args:
        name: of the issuer, in the settings.
        issuer: its settings.
        claims: verified.
        token_id: as which the token is known.
        kind: what it is, where that is not left to the settings.

    Raises:
        AccessRefused: `scope_insufficient`: the claims give no tenant or no role here.
    """
    tenant = _tenant(issuer, claims)
    values = _values(_claim(claims, issuer.roles_claim))
    roles = tuple(sorted({role for value in values for role in issuer.roles.get(value, ())}))
    if tenant is None or not roles:
        what = "tenant" if tenant is None else "role"
        raise AccessRefused("scope_insufficient", f"No {what} of this colony follows from the token's claims.")
    departments = [
        issuer.departments[value]
        for value in _values(_claim(claims, issuer.department_claim))
        if value in issuer.departments
    ]
    return Principal(
        agent_name(name, str(claims["sub"]), tenant if issuer.tenant_claim else ""),
        tenant,
        roles,
        kind or issuer.kind,
        token_id,
        departments[0] if departments else "",
    )


def agent_name(issuer: str, subject: str, tenant: str = "") -> str:
    """The name here of a subject there: `issuer#subject`, for good.

    Agents of our own have no `#` in their names, and issuers none in theirs, so none is ever taken for another. Where
    an issuer speaks for several tenants, the tenant is part of the name: budgets, limits and approvals go by the name
    alone. A subject with other characters than letters, digits, `-` and `_`, or that is too long, stands as its hash.
    """
    # `~` stands in no plain subject, so none can be made to look like the hash of another one.
    head = f"{issuer}~{_short(tenant, 8)}#" if tenant else f"{issuer}#"
    if _PLAIN.fullmatch(subject) and len(head) + len(subject) <= _LONGEST_NAME:
        return head + subject
    return f"{head}~{_short(subject, 32)}"


def has_scope(claims: Mapping[str, Any], scope: str) -> bool:
    """Whether the token has the scope (RFC 8693, section 4.2: `scope`; some issuers write `scp`)."""
    return not scope or scope in _values(claims.get("scope")) or scope in _values(claims.get("scp"))


def _tenant(issuer: IssuerSettings, claims: Mapping[str, Any]) -> str | None:
    if not issuer.tenant_claim:
        return issuer.tenant
    found = {issuer.tenants.get(value) for value in _values(_claim(claims, issuer.tenant_claim))}
    # A token of two tenants is one of none.
    return found.pop() if len(found) == 1 else None


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    if not path or path in claims:
        return claims.get(path)
    found: Any = claims
    for step in path.split("."):
        found = cast(Mapping[str, Any], found).get(step) if isinstance(found, Mapping) else None
    return found


def _values(claim: Any) -> Sequence[str]:
    if isinstance(claim, str):
        return claim.split()[:_MOST_VALUES]
    listed = cast(list[Any], claim)[:_MOST_VALUES] if isinstance(claim, list) else []
    return [value for value in listed if isinstance(value, str)]


def _short(text: str, length: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]
