"""How long to wait before asking a provider again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 8.0


def retry_after(headers: Mapping[str, str], *, now_ns: int) -> float | None:
    """Seconds that the provider asks to wait: `Retry-After` as seconds or a date (RFC 9110, section 10.2.3), or the
    common `retry-after-ms`; None if it asks nothing that can be read."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _number(value)
    if seconds is not None or not value:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now_ns / 1e9)


def delay(attempt: int, asked: float | None, chance: random.Random) -> float:
    """Seconds before the attempt after number `attempt` (from 1): doubling with jitter, and never less than `asked`."""
    ceiling = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** (attempt - 1))
    return max(asked or 0.0, ceiling * (0.5 + chance.random() / 2))


def _number(value: str) -> float | None:
    text = value.strip()
    if not text.replace(".", "", 1).isascii() or not text.replace(".", "", 1).isdigit():
        return None
    return float(text)
