"""The checker that a file passes before anything opens it: size, type, claims, and what is in it.

Type and claims are bytes at known places and are compared here; whatever needs a parser is looked at in the sandbox.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Literal, Protocol

from cenoby.kernel.settings_files import FileRules, FileSettings
from cenoby.protection.files.acting import Acting
from cenoby.protection.files.archives import Listing
from cenoby.protection.files.errors import FileForbidden
from cenoby.protection.files.kinds import ARCHIVES, BINARY, HTML, OLE, OOXML, PDF, SVG, TEXT, Kind, claimed, kinds_of

SANDBOX_MODULES = ("cenoby.protection.files.archives", "cenoby.protection.files.contents")
"""The modules that the sandbox must be able to load."""

Direction = Literal["arguments", "results", "fetched"]
_CONTENTS = "cenoby.protection.files.contents"
_ACTIVE_IN = {
    PDF.name: f"{_CONTENTS}:active_in_pdf",
    SVG.name: f"{_CONTENTS}:active_in_svg",
    HTML.name: f"{_CONTENTS}:active_in_html",
}
_COULD_HOLD = {PDF.name: {"script", "launch", "embedded"}, SVG.name: {"script"}, HTML.name: {"script"}}
_TEXTS = frozenset({TEXT, HTML, SVG})
_MACROS = ("vbaproject.bin", "vbadata.xml", "/activex/", "/macrosheets/")


class Cells(Protocol):
    """Runs a task on untrusted bytes, apart; the sandbox, as `app` hands it in."""

    def __call__(self, task: str, arguments: Mapping[str, Any], *, returns: Any) -> Awaitable[Any]: ...


class FileChecker:
    """Lets files pass, or not.

    Args:
        settings: what may pass in which direction.
        cells: where they are looked into.
    """

    def __init__(self, settings: FileSettings, cells: Cells) -> None:
        self._settings = settings
        self._cells = cells

    async def check(
        self, direction: Direction, body: bytes, media_type: str = "", name: str = "", *, inside: bool = True
    ) -> Kind:
        """What a file is, where it may pass.

        Args:
            direction: where it goes.
            body: the file.
            media_type: what it is said to be; empty where nothing is said.
            name: its name, whose ending says something; empty where it has none.
            inside: whether it is looked into; False for who looks into archives itself.

        Raises:
            FileForbidden: it may not pass.
            SandboxError, SandboxUnavailable: it could not be looked into.
        """
        rules: FileRules = getattr(self._settings, direction)
        kinds = kinds_of(body)
        kind = kinds[0]
        most = rules.sizes.get(kind.name, rules.max_bytes)
        if len(body) > most:
            raise _forbidden("file_too_large", direction, kind, f"has {len(body)} bytes, and {most} may pass")
        if len(kinds) > 1:
            raise _forbidden("file_ambiguous", direction, kind, f"is {' and '.join(one.name for one in kinds)} at once")
        if kind.name not in rules.types:
            raise _forbidden("file_type", direction, kind, "may not pass")
        if not claimed(kind, media_type, name) and not (rules.any_text and _is_text_of_a_kind(kind, media_type)):
            said = " or ".join(repr(one[:100]) for one in (media_type, name) if one)
            raise _forbidden("file_claim", direction, kind, f"is said to be {said}")
        if inside:
            await self._look_inside(direction, rules, kind, body)
        return kind

    async def _look_inside(self, direction: Direction, rules: FileRules, kind: Kind, body: bytes) -> None:
        if kind in ARCHIVES:
            await self._look_into_archive(direction, rules, kind, body)
        elif kind.name in _ACTIVE_IN and not _COULD_HOLD[kind.name] <= set(rules.active):
            acting: Acting = await self._cells(_ACTIVE_IN[kind.name], {"body": body}, returns=Acting)
            if acting.problem:
                raise _forbidden("file_unreadable", direction, kind, f"cannot be looked into: {acting.problem}")
            self._permit(direction, rules, kind, acting.found)

    async def _look_into_archive(self, direction: Direction, rules: FileRules, kind: Kind, body: bytes) -> None:
        told = {"body": body, "limits": self._settings.archives.model_dump()}
        task = f"{SANDBOX_MODULES[0]}:examine_archive"
        listing: Listing = await self._cells(task, told, returns=Listing)
        if listing.problem:
            raise _forbidden("file_archive", direction, kind, f"is not opened: {listing.problem}")
        paths = [f"/{one.path.lower()}" for one in listing.members]
        # Office keeps macros, and objects of other programs, in storages of its old format.
        storages = any(one.kind == OLE.name for one in listing.members)
        if kind is OOXML and (storages or any(word in path for path in paths for word in _MACROS)):
            self._permit(direction, rules, kind, ("macros",))
        for one in listing.members:
            # Fonts and drawings are nothing that anybody knows by its bytes.
            if one.kind not in rules.types and one.kind not in (BINARY.name, "link", kind is OOXML and OLE.name):
                raise _forbidden("file_archive", direction, kind, f"holds {one.path[:100]!r}, which is {one.kind}")

    def _permit(self, direction: Direction, rules: FileRules, kind: Kind, found: tuple[str, ...]) -> None:
        more = [one for one in found if one not in rules.active]
        if more:
            raise _forbidden("file_active", direction, kind, f"holds what acts when it is opened ({', '.join(more)})")


def _is_text_of_a_kind(kind: Kind, media_type: str) -> bool:
    said = media_type.partition(";")[0].strip().lower()
    if kind not in _TEXTS:
        return False
    return said.startswith("text/") or said.endswith(("+xml", "+json")) or any(said in one.others for one in _TEXTS)


def _forbidden(code: str, direction: Direction, kind: Kind, why: str) -> FileForbidden:
    return FileForbidden(
        code,
        f"A file ({kind.name}) {why}. An operator can change files.{direction} in the settings.",
        details={"kind": kind.name, "direction": direction},
    )
