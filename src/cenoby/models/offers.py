"""What a provider offers, for the moment when it no longer knows a model by the name in the settings."""

from __future__ import annotations

import difflib
from typing import Any, cast

from cenoby.kernel.codec import CodecError, from_json
from cenoby.models.catalogue import Model
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_answer import EgressFailed
from cenoby.protection.egress_policy import EgressRefused
from cenoby.protection.egress_rules.errors import EgressSpent
from cenoby.protection.egress_rules.sender import Sender

_SECONDS = 5.0
_LONGEST_LIST = 4 * 1024 * 1024
_SHOWN = 5


async def near_offers(
    egress: EgressGuard, model: Model, headers: dict[str, str], seconds: float, by: Sender
) -> list[str]:
    """Names that the provider lists (`GET /models`) and that resemble the model's, the nearest first.

    A courtesy to whoever reads the error: where there is no list, it is empty.

    Args:
        egress: the way out.
        model: what was asked for in vain.
        headers: those of the vain request.
        seconds: what is left of the call.
        by: on whose behalf.
    """
    try:
        answer = await egress.fetch(
            "GET", f"{model.url}/models", headers, by=by, timeout=min(seconds, _SECONDS), max_bytes=_LONGEST_LIST
        )
        names = offered_names(from_json(answer.body))
    except (EgressRefused, EgressSpent, EgressFailed, CodecError):
        return []
    return difflib.get_close_matches(model.provider_name, names, n=_SHOWN, cutoff=0.4)


def offered_names(listing: Any) -> list[str]:
    """The names in a list of models (any JSON value), without those too long to be shown."""
    entries = cast(dict[str, Any], listing).get("data") if isinstance(listing, dict) else None
    if not isinstance(entries, list):
        return []
    known = [cast(dict[str, Any], entry) for entry in cast(list[Any], entries) if isinstance(entry, dict)]
    names = [entry.get("id") for entry in known]
    return [name for name in names if isinstance(name, str) and len(name) <= 100 and name.isprintable()]
