"""A file of model rules: read and checked, and followed while the colony runs.

It is looked at off the loop. A change is believed when two looks in a row see the same, so that a file that is just
being written is not read in halves; what cannot be used leaves the old rules in force.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import ValidationError

from cenoby.kernel.events import Event
from cenoby.kernel.settings_content import ContentSettings, ModelRule, ModelRules, check_classes
from cenoby.protection.content.errors import ContentInvalid
from cenoby.protection.content.events import ContentRulesLoaded, ContentRulesRejected
from cenoby.telemetry.logs import get_logger

_log = get_logger("protection.content")
_LARGEST = 1024 * 1024
_Stamp = tuple[int, int, int]


class ReadRules(NamedTuple):
    """What a file says, and the SHA-256 of it."""

    rules: list[ModelRule]
    digest: str


def read_rules(file: Path, settings: ContentSettings) -> ReadRules:
    """The rules in a file.

    Raises:
        ContentInvalid: content_rules_invalid.
    """
    try:
        if file.stat().st_size > _LARGEST:
            raise _invalid(file, "it is larger than 1 MiB")
        data = file.read_bytes()
        read = ModelRules.model_validate(yaml.safe_load(data))
        check_classes(settings, read.rules)
    except OSError as error:
        raise _invalid(file, f"cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _invalid(file, f"not valid YAML: {error}") from None
    except ValidationError as error:
        raise _invalid(file, "; ".join(_explained(one) for one in error.errors(include_url=False))) from None
    except ValueError as error:
        raise _invalid(file, str(error)) from None
    return ReadRules(read.rules, hashlib.sha256(data).hexdigest())


class RulesFile:
    """Follows one file.

    Args:
        settings: name the file, and how often it is looked at.
        use: puts rules in force.
        note: journals an event.
        node: where.
    """

    def __init__(
        self,
        settings: ContentSettings,
        use: Callable[[list[ModelRule]], None],
        note: Callable[[Event], object],
        node: str,
    ) -> None:
        assert settings.file is not None, "there is a file to follow"
        self._settings = settings
        self._file = settings.file
        self._use = use
        self._note = note
        self._node = node
        self._seen = self._read = (0, 0, -1)
        self._digest = ""
        self._watching: asyncio.Task[None] | None = None
        self.problem = ""
        """Why the newest file is not in force; empty where it is."""

    async def start(self) -> None:
        """Read the file, and follow it from then on.

        Raises:
            ContentInvalid: it cannot be used, so that the colony does not start.
        """
        self._seen = self._read = await asyncio.to_thread(_stamp, self._file)
        self._take(await asyncio.to_thread(read_rules, self._file, self._settings))
        self._watching = asyncio.create_task(self._watch(), name="model rules")

    async def stop(self) -> None:
        """Follow no more."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching

    async def look(self) -> None:
        """Look at the file once; take over what changed and has settled."""
        now = await asyncio.to_thread(_stamp, self._file)
        settled, self._seen = now == self._seen, now
        if not settled or now == self._read:
            return
        try:
            fresh = await asyncio.to_thread(read_rules, self._file, self._settings)
        except ContentInvalid as error:
            self._reject(error.message)
        else:
            if await asyncio.to_thread(_stamp, self._file) != now:
                return  # written while it was read: the next looks will see it through
            self._take(fresh)
        self._read = now

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.look_every)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - the old rules hold, whatever went wrong
                _log.exception("model_rules_reload_failed")
                self._reject(f"{type(error).__name__}: {error}")

    def _take(self, fresh: ReadRules) -> None:
        self._use(fresh.rules)
        before, self._digest, self.problem = self._digest, fresh.digest, ""
        if before != fresh.digest:
            names = tuple(rule.name for rule in fresh.rules)
            self._note(ContentRulesLoaded(file=str(self._file), digest=fresh.digest, rules=names, node=self._node))

    def _reject(self, why: str) -> None:
        if why != self.problem:
            self.problem = why
            self._note(ContentRulesRejected(file=str(self._file), node=self._node, notes=why[:2000]))


def _stamp(file: Path) -> _Stamp:
    """What tells one state of the file from another."""
    try:
        state = file.stat()
    except OSError:
        return (0, 0, -1)
    return (state.st_mtime_ns, state.st_ino, state.st_size)


def _explained(item: object) -> str:
    assert isinstance(item, dict), "pydantic lists errors as objects"
    place = ".".join(map(str, item["loc"])) or "the file"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return f"{place}: {item['msg']}"


def _invalid(file: Path, why: str) -> ContentInvalid:
    return ContentInvalid("content_rules_invalid", f"{file}: {why}.")
