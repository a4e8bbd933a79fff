"""The places that checkpoints go to: a file on a mounted disk, a URL at another host, a witness."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from cenoby.kernel.settings_evidence import PublishedToSettings
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_answer import Fetched
from cenoby.protection.egress_rules.sender import Sender
from cenoby.protection.evidence.errors import EvidenceFailed
from cenoby.protection.evidence.git_remote import GitRemote
from cenoby.protection.evidence.notes import Checkpoint, NoteKey, cosignatures_in
from cenoby.protection.evidence.publisher import Destination, Prove
from cenoby.store.private_file import sync_directory

ReadSecret = Callable[[str], Awaitable[str]]
_MOST_BYTES = 64 * 1024
_EVIDENCE = Sender(part="evidence")
_SIZE_TYPE = "text/x.tlog.size"


class PublishedFile:
    """A file whose disk is another machine's; whoever reads it sees a whole checkpoint, the old one or the new.

    Args:
        name: of the destination.
        file: where.
    """

    witnesses = False

    def __init__(self, name: str, file: Path) -> None:
        self.name = name
        self._file = file

    async def held(self) -> str | None:
        """As in `Destination`."""
        try:
            return await asyncio.to_thread(self._file.read_text, "utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise _unpublished(self.name, f"{self._file} cannot be read: {error}") from error

    async def put(self, checkpoint: Checkpoint, before: int, prove: Prove) -> list[str]:
        """As in `Destination`."""
        try:
            await asyncio.to_thread(_replace, self._file, checkpoint.note)
        except OSError as error:
            raise _unpublished(self.name, f"{self._file} cannot be written: {error}") from error
        return []


class PublishedUrl:
    """A URL at another host that takes PUT and gives the same back with GET.

    Args:
        name: of the destination.
        url: where.
        egress: the way out.
        token: gives the bearer token, where one is needed.
    """

    witnesses = False

    def __init__(self, name: str, url: str, egress: EgressGuard, token: Callable[[], Awaitable[str]] | None) -> None:
        self.name = name
        self._url = url
        self._egress = egress
        self._token = token
        self._known = ""

    async def held(self) -> str | None:
        """As in `Destination`."""
        answer = await self._egress.fetch("GET", self._url, await self._headers(), by=_EVIDENCE, max_bytes=_MOST_BYTES)
        if answer.status in (404, 410):
            return None
        if answer.status in (401, 403):
            self._known = ""
        if answer.status != 200:
            raise _unpublished(self.name, f"{self._url} answers GET with {answer.status}")
        return answer.body.decode("utf-8", "replace")

    async def put(self, checkpoint: Checkpoint, before: int, prove: Prove) -> list[str]:
        """As in `Destination`."""
        headers = {"content-type": "text/plain; charset=utf-8", **await self._headers()}
        answer = await self._egress.fetch(
            "PUT", self._url, headers, checkpoint.note.encode(), by=_EVIDENCE, max_bytes=_MOST_BYTES
        )
        if answer.status not in (200, 201, 202, 204):
            raise _unpublished(self.name, f"{self._url} answers PUT with {answer.status}")
        return []

    async def _headers(self) -> dict[str, str]:
        if self._token is None:
            return {}
        # Reading it is a record in the journal: once, and not for each checkpoint, or each would call for the next.
        self._known = self._known or await self._token()
        return {"authorization": f"Bearer {self._known}"}


class WitnessClient:
    """A witness (C2SP tlog-witness): it checks by itself that nothing before was changed, and signs that it saw it.

    Args:
        name: of the destination.
        prefix: the witness's submission prefix.
        key: whose cosignature must come back.
        egress: the way out.
    """

    witnesses = True

    def __init__(self, name: str, prefix: str, key: NoteKey, egress: EgressGuard) -> None:
        self.name = name
        self._url = f"{prefix.rstrip('/')}/add-checkpoint"
        self._key = key
        self._egress = egress

    async def held(self) -> str | None:
        """As in `Destination`: a witness tells a size at most, when it is asked to sign."""
        return None

    async def put(self, checkpoint: Checkpoint, before: int, prove: Prove) -> list[str]:
        """As in `Destination`."""
        answer = await self._ask(checkpoint, min(before, checkpoint.size), prove)
        if answer.status == 409 and answer.headers.get("content-type", "").startswith(_SIZE_TYPE):
            answer = await self._ask(checkpoint, self._size_in(answer), prove)
        if answer.status in (409, 422):
            raise EvidenceFailed(
                "log_inconsistent",
                f"The witness {self.name} saw another log than this one ({answer.status}): one of them was rewritten.",
            )
        if answer.status != 200:
            raise _unpublished(self.name, f"the witness answers {answer.status}: {_shown(answer.body)}")
        wanted = f"— {self._key.name} "
        lines = [one for one in cosignatures_in(answer.body.decode("utf-8", "replace")) if one.startswith(wanted)]
        if checkpoint.joined(lines).signed_by(self._key) is None:
            raise _unpublished(self.name, "the witness's answer has no cosignature of its key")
        return lines

    async def _ask(self, checkpoint: Checkpoint, old: int, prove: Prove) -> Fetched:
        hashes = [base64.b64encode(one).decode() for one in await prove(old)]
        body = "\n".join([f"old {old}", *hashes, "", checkpoint.note])
        return await self._egress.fetch("POST", self._url, None, body.encode(), by=_EVIDENCE, max_bytes=_MOST_BYTES)

    def _size_in(self, answer: Fetched) -> int:
        text = answer.body.decode("ascii", "replace").strip()
        if not text.isdecimal() or len(text) > 18:
            raise _unpublished(self.name, f"the witness's size is none: {_shown(answer.body)}")
        return int(text)


def destination_for(
    settings: PublishedToSettings, egress: EgressGuard, folder: Path, read_secret: ReadSecret
) -> Destination:
    """What the settings name.

    Args:
        settings: one destination.
        egress: the way out for requests.
        folder: where a working copy of a git remote may be kept.
        read_secret: the value of a secret.

    Raises:
        NoteInvalid: a witness's key is none.
    """
    if settings.file is not None:
        return PublishedFile(settings.name, settings.file.expanduser())
    if settings.git is not None:
        return GitRemote(settings.name, settings.git, settings.branch, folder / settings.name)
    if settings.url is not None:
        secret = settings.secret
        return PublishedUrl(settings.name, settings.url, egress, (lambda: read_secret(secret)) if secret else None)
    assert settings.witness is not None and settings.key is not None, "the settings were checked"
    return WitnessClient(settings.name, settings.witness, NoteKey.from_text(settings.key), egress)


def _replace(file: Path, text: str) -> None:
    beside = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(text.encode())
            out.flush()
            os.fsync(out.fileno())
        beside.replace(file)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(file.parent)


def _unpublished(name: str, why: str) -> EvidenceFailed:
    return EvidenceFailed("evidence_unpublished", f"{name} did not take the checkpoint: {why}.")


def _shown(body: bytes) -> str:
    return repr(body[:200].decode("utf-8", "replace"))
