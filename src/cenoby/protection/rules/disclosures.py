"""What arguments tell that they should not: credentials, and personal data on its way outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cenoby.kernel.settings import RedactionSettings
from cenoby.protection.redact import Redactor


class Disclosures:
    """Finds by the same detectors that black out results."""

    def __init__(self) -> None:
        self._secrets = Redactor(RedactionSettings(secrets=True, personal_data=[]))
        self._personal = Redactor(RedactionSettings(secrets=False, personal_data=["card", "ssn", "national_id"]))

    def secret_in(self, value: Mapping[str, Any] | str) -> bool:
        """Whether a text, or arguments in plain JSON types, hold a credential."""
        return self._secrets.value(value)[1] > 0

    def personal_in(self, value: Mapping[str, Any] | str) -> bool:
        """Whether a text, or arguments in plain JSON types, hold a payment card or a national id."""
        return self._personal.value(value)[1] > 0
