"""Data classes: which one a prompt is of, by what flowed to its author, what it holds, and what its author says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from cenoby.kernel.settings import RedactionSettings
from cenoby.kernel.settings_content import ContentSettings
from cenoby.kernel.settings_file import SettingsError
from cenoby.protection.content.errors import ContentInvalid
from cenoby.protection.dlp.policy import KNOWN_TYPES, words_of
from cenoby.protection.dlp.scan import PERSONAL, SECRET_KINDS
from cenoby.protection.redact import Redactor, black


class Classified(NamedTuple):
    """A data class, and why: `default`, `declared`, or the labels and types that make it so high."""

    name: str
    because: tuple[str, ...]


class DataClasses:
    """The classes of a colony.

    Args:
        settings: the classes, lowest first, and what belongs to which.

    Raises:
        SettingsError: a type is named that nothing finds.
    """

    def __init__(self, settings: ContentSettings) -> None:
        self.names = tuple(settings.classes)
        self._rank = {name: rank for rank, name in enumerate(self.names)}
        self._default = settings.default
        self._labels = settings.labels
        self._types = settings.types
        if unknown := sorted(self._types.keys() - KNOWN_TYPES):
            raise SettingsError("settings_invalid", f"content.types: nothing finds {', '.join(unknown)}")
        self._eye = _eye(frozenset(self._types))

    def rank(self, name: str) -> int:
        """Its place among the classes, 0 for the lowest."""
        return self._rank[name]

    def of(self, labels: Iterable[str], value: Any, declared: str | None) -> Classified:
        """The class of a prompt: the highest that anything says.

        Args:
            labels: that flowed to who asks.
            value: the arguments, plain JSON types.
            declared: what who asks says; it can only make it higher.

        Raises:
            ContentInvalid: content_class_unknown.
        """
        reasons = [(self._default, "default")]
        reasons += [(self._labels[label], f"label {label}") for label in labels if label in self._labels]
        reasons += [(name, f"type {kind}") for kind, name in self._held(value)]
        if declared is not None:
            if declared not in self._rank:
                raise ContentInvalid(
                    "content_class_unknown",
                    f"There is no data class {declared[:40]!r}; choose one of {', '.join(self.names)}.",
                )
            reasons.append((declared, "declared"))
        highest = max((name for name, _ in reasons), key=self._rank.__getitem__)
        return Classified(highest, tuple(dict.fromkeys(why for name, why in reasons if name == highest)))

    def _held(self, value: Any) -> Iterator[tuple[str, str]]:
        """Types that a value holds, with their classes."""
        if self._eye is None:
            return
        found: dict[str, None] = {}

        def note(kind: str, text: str) -> str:
            found[kind] = None
            return black(kind, text)

        self._eye.value(value, note)
        for kind in found:
            for word in words_of(kind) & self._types.keys():
                yield kind, self._types[word]


def _eye(types: frozenset[str]) -> Redactor | None:
    if not types:
        return None
    personal: Sequence[str] = [
        name
        for name, group in PERSONAL.items()
        if any(not types.isdisjoint(words_of(kind)) for one in group for kind in one.kinds)
    ]
    secrets = any(not types.isdisjoint(words_of(kind)) for kind in SECRET_KINDS)
    return Redactor(RedactionSettings.model_validate({"secrets": secrets, "personal_data": personal}))
