"""Policies of secrets: does a list of permits let a use through, and why. No store, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import ValidationError

from cenoby.kernel.settings_secrets import SecretPermit
from cenoby.protection.secrets import Use

_HTTPS = "443"


@dataclass(frozen=True, slots=True)
class Considered:
    """One permit, and which of its parts a use fits.

    Attributes:
        permit: what it says, as plain JSON types.
        who, tools, to: whether the use fits that part.
    """

    permit: dict[str, Any]
    who: bool
    tools: bool
    to: bool

    @property
    def holds(self) -> bool:
        """Whether it lets the use through, how often aside."""
        return self.who and self.tools and self.to


def consider(permit: SecretPermit, use: Use) -> Considered:
    """How a permit and a use fit together."""
    return Considered(
        permit=permit.model_dump(mode="json", exclude_defaults=True),
        who=any(_is(one, use) for one in permit.who),
        tools=not permit.tools or use.tool in permit.tools,
        to=not permit.to or (bool(use.to) and any(_leads_to(one, use.to) for one in permit.to)),
    )


def holding(permits: Sequence[SecretPermit], use: Use) -> list[int]:
    """The numbers of the permits that let a use through, how often aside."""
    return [number for number, permit in enumerate(permits) if consider(permit, use).holds]


def why_not(considered: Sequence[Considered], use: Use) -> str:
    """One sentence that says why no permit holds, for who was refused."""
    who = use.who
    if not any(one.who for one in considered):
        return f"no permit of its policy names {who!r}"
    fits = [one for one in considered if one.who]
    if not any(one.tools for one in fits):
        return f"its policy does not let {who!r} use it by {use.tool or 'no tool at all'}"
    place = use.to or "be told; it only goes in a header to the places that the policy names"
    return f"its policy does not let {who!r} send it to {place}" if use.to else f"by its policy it may not {place}"


def permits_from_text(text: str) -> list[SecretPermit]:
    """A policy as it is kept.

    Raises:
        ValueError: it is none.
    """
    try:
        return [SecretPermit.model_validate(one) for one in msgspec.json.decode(text, type=list[dict[str, Any]])]
    except (msgspec.DecodeError, ValidationError) as error:
        raise ValueError(f"no policy of a secret: {error}") from None


def permits_to_text(permits: Sequence[SecretPermit]) -> str:
    """A policy as it is kept."""
    return msgspec.json.encode(plain_permits(permits)).decode()


def plain_permits(permits: Sequence[SecretPermit]) -> list[dict[str, Any]]:
    """A policy as plain JSON types, without what is said by default."""
    return [one.model_dump(mode="json", exclude_defaults=True) for one in permits]


def _is(who: str, use: Use) -> bool:
    kind, _, name = who.partition(":")
    if kind == "tenant":
        return name == use.tenant
    if kind == "mad":
        return name == use.mad
    if use.mad:
        return False
    return name == use.agent if kind == "agent" else name in use.roles


def _leads_to(pattern: str, place: str) -> bool:
    wanted, _, wanted_port = pattern.partition(":")
    host, _, port = place.rpartition(":")
    if port != (wanted_port or _HTTPS):
        return False
    return host.endswith(wanted[1:]) if wanted.startswith("*.") else host == wanted
