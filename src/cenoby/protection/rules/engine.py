"""The rule engine: deterministic checks of one call's arguments, before anything happens.

Nearly all calls are harmless, so the way through for these counts: one search over the canonical arguments for
everything that any rule needs to be there, one look for encoded runs, and the detectors' own quick look for
credentials. Only where one of them finds something are the texts taken one by one, each read as what it is. All
patterns that see hostile text are RE2's, which are linear in its length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cenoby.kernel.settings import EgressSettings
from cenoby.kernel.settings_rules import RuleSettings
from cenoby.protection.rules.arguments import ArgumentKind, Leaf, leaves
from cenoby.protection.rules.commands import destructive
from cenoby.protection.rules.disclosures import Disclosures
from cenoby.protection.rules.findings import Finding, Level
from cenoby.protection.rules.linear import linear, linear_bytes
from cenoby.protection.rules.paths import escapes, is_secret_place, looks_like_path
from cenoby.protection.rules.spellings import TooMuch, encoded_runs, may_hold_runs, plain, readings, unpercented
from cenoby.protection.rules.statements import (
    destructive_statements,
    destructive_statements_in_command,
    looks_like_statement,
)
from cenoby.protection.rules.urls import UrlRule, looks_like_url

_COMMANDS = (
    r"(?:^|[^a-z0-9_])r\\?m(?:dir)?[\s\"'\\$,;|&]|remove-item|mkfs|mke2fs|mkswap|of=/dev|wipefs|shred|blkdiscard"
    r"|\(\)\s*\{|--force|push\s+-f|push\s+\S+\s+\+|--mirror|--hard|git\s+clean|chmod|rmtree|rimraf|\s-delete"
    r"|\|\s*(?:\S+\s+)?(?:/\S*/)?(?:ba|z|da|k)?sh\b|[>]\s*/dev/|(?:^|[^a-z])(?:del|erase|rd|format)\s"
)
_STATEMENTS = (
    r"drop(?:\s|/\*)|truncate\s|delete(?:/\*|\s+(?:/\*|[a-z_.,\s]{0,64}from))"
    r"|update(?:/\*|\s+\S+\s+(?:\S+\s+){0,2}set\s)"
)
_PLACES = (
    r"\.\.[/\\%\"]|[/\\]\.\.|\.(?:ssh|env|aws|gnupg|kube|netrc|pgpass|git-credentials|vault-token)\b|id_(?:rsa|ed25519)"
    r"|/etc/|[:,\[]\"\s*(?:[/~\\]|[a-z]:[/\\]|[a-z+]{2,8}:/|file:)"
)
_ENCODED = r"%[0-9a-f]{2}|%u[0-9a-f]{4}|\\\\[xu]|&#|&[a-z]{2,8};"
_NAMES = (
    r"\"[a-z0-9_]*(?:path|file|filename|dir|directory|directories|dirname|folder|cwd|workdir|url|uri|link|href"
    r"|endpoint|webhook|command|cmd|cmdline|shell|bash|argv|args|exec|script|sql)s?\":"
)
_TRIGGER = linear_bytes(f"(?i){'|'.join((_COMMANDS, _STATEMENTS, _PLACES, _ENCODED, _NAMES))}")
_DESTRUCTIVE = linear(f"(?i){_COMMANDS}|{_STATEMENTS}")
_OPAQUE = linear_bytes("[A-Za-z0-9+/_=-]{200}")


class Verdict(NamedTuple):
    """What the rules say of a call.

    Attributes:
        findings: of sets that decide, the strictest first.
        shadow: of sets that are only journalled.
    """

    findings: tuple[Finding, ...] = ()
    shadow: tuple[Finding, ...] = ()

    @property
    def level(self) -> Level | None:
        """The strictest level; None: certainly allowed."""
        return self.findings[0].level if self.findings else None


CLEAN = Verdict()


class RuleEngine:
    """All rules about arguments.

    Args:
        settings: which are in force.
        egress: its exceptions hold for URLs in arguments, too.
    """

    def __init__(self, settings: RuleSettings, egress: EgressSettings) -> None:
        self._modes: Mapping[str, str] = settings.sets.model_dump()
        self._roots = settings.roots
        self._depth = settings.decode_depth
        self._urls = UrlRule(egress)
        self._disclosures = Disclosures()

    @property
    def off(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Sets that do not look, and sets that only journal."""
        of = {mode: tuple(name for name, one in self._modes.items() if one == mode) for mode in ("disabled", "shadow")}
        return of["disabled"], of["shadow"]

    def check(
        self,
        arguments: Mapping[str, Any],
        canonical: bytes,
        *,
        action: str,
        outside: bool,
        kinds: Mapping[str, ArgumentKind],
        sensitive: frozenset[str],
    ) -> Verdict:
        """The verdict on a call.

        Args:
            arguments: plain JSON types, sanitised.
            canonical: the same as canonical JSON.
            action: the action type.
            outside: whether the tool acts beyond the colony.
            kinds: what the tool declares of its arguments, where it can be believed.
            sensitive: arguments that are declared to hold a secret: these are for the tool alone and not looked at.
        """
        if sensitive and not sensitive.isdisjoint(arguments):
            arguments = {name: value for name, value in arguments.items() if name not in sensitive}
        found = list(self._quick(arguments, outside))
        if kinds or action.startswith("db:") or _needs_a_look(canonical, outside):
            try:
                for leaf in leaves(arguments, kinds, action.startswith("db:")):
                    found.extend(self._look(leaf, outside))
            except TooMuch:
                found.append(Finding("engine.too_much", Level.ASK))
        return self._verdict(found) if found else CLEAN

    def _verdict(self, found: list[Finding]) -> Verdict:
        once = sorted(dict.fromkeys(found), key=lambda one: -one.level)
        mode = self._modes.get
        return Verdict(
            tuple(one for one in once if mode(one.family, "active") == "active"),
            tuple(one for one in once if mode(one.family) == "shadow"),
        )

    def _quick(self, arguments: Mapping[str, Any], outside: bool) -> Iterator[Finding]:
        if self._disclosures.secret_in(arguments):
            yield Finding("credentials.secret", Level.DENY)
        if outside and self._disclosures.personal_in(arguments):
            yield Finding("leaks.personal", Level.DENY)

    def _look(self, leaf: Leaf, outside: bool) -> Iterator[Finding]:
        place, kind, text = leaf
        if kind == "path" or (kind == "text" and looks_like_path(text)):
            for rule, level in escapes(text, self._roots, self._depth):
                yield Finding(rule, level, place)
        if kind == "url" or (kind == "text" and looks_like_url(text)):
            for rule, level in self._urls.leads_inside(text):
                yield Finding(rule, level, place)
        if outside and kind in ("prose", "text", "url") and _OPAQUE.search(text.encode(errors="replace")) is not None:
            yield Finding("leaks.opaque", Level.DOUBT, place)
        # What is declared a URL and is none as it stands may become one where somebody decodes it.
        veiled = kind == "url" and not looks_like_url(text)
        for number, reading in enumerate(readings(text, self._depth)):
            if veiled and number:
                for rule, level in self._urls.leads_inside(reading):
                    yield Finding(rule, level, place)
            yield from self._read(reading, kind, place, outside, encoded=number > 0)

    def _read(self, text: str, kind: ArgumentKind, place: str, outside: bool, *, encoded: bool) -> Iterator[Finding]:
        if encoded:
            if self._disclosures.secret_in(text):
                yield Finding("credentials.secret", Level.DENY, place)
            if outside and self._disclosures.personal_in(text):
                yield Finding("leaks.personal", Level.DENY, place)
        if kind == "prose":
            if (outside or encoded) and _is_destructive(text):
                yield Finding("destructive.mentioned", Level.DOUBT, place)
            return
        places = kind in ("path", "command") or (kind == "text" and " " not in text)
        if places and is_secret_place(text if kind == "command" else unpercented(text)):
            yield Finding("leaks.secret_place", Level.DENY, place)
        if kind == "command" or (kind in ("text", "url") and _DESTRUCTIVE.search(text) is not None):
            for rule, level in destructive(text, anywhere=encoded):
                yield Finding(rule, level, place)
        if kind == "command":
            for rule, level in destructive_statements_in_command(text):
                yield Finding(rule, level, place)
        if kind == "sql" or (kind == "text" and looks_like_statement(text)):
            for rule, level in destructive_statements(text):
                yield Finding(rule, level, place)


def _is_destructive(text: str) -> bool:
    if _DESTRUCTIVE.search(text) is None:
        return False
    return next(destructive(text), None) is not None or next(destructive_statements(text), None) is not None


def _needs_a_look(canonical: bytes, outside: bool) -> bool:
    if not canonical.isascii():
        canonical = plain(canonical.decode()).encode(errors="replace")
    if b"\\" in canonical:
        canonical = canonical.replace(b"\\n", b"\n ").replace(b"\\t", b"\t").replace(b"\\r", b"\r")
    if _TRIGGER.search(canonical) is not None:
        return True
    if outside and _OPAQUE.search(canonical) is not None:
        return True
    return may_hold_runs(canonical) and next(encoded_runs(canonical.decode()), None) is not None
