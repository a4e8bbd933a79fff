"""A git remote as the place for checkpoints: each is a commit, and the remote's history shows when each arrived.

The `git` command is run without a shell, with its arguments before `--` fixed, only over `https`, `ssh` and files, and
without hooks, questions or submodules. What it connects to is what an operator wrote into the settings; it does not go
by the guarded client.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from pathlib import Path

from cenoby.protection.evidence.errors import EvidenceFailed
from cenoby.protection.evidence.notes import Checkpoint
from cenoby.protection.evidence.publisher import Prove

_KEPT = ("PATH", "HOME", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "LANG", "TMPDIR")
_FIXED = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "https:ssh:file",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
    "GIT_ASKPASS": "true",
}
_OPTIONS = (
    "-c", "core.hooksPath=/dev/null", "-c", "user.name=cenoby", "-c", "user.email=cenoby@localhost",
    "-c", "commit.gpgSign=false", "-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.autocrlf=false",
)  # fmt: skip


class GitRemote:
    """A branch of a git remote, with one file for each log.

    Args:
        name: of the destination.
        remote: the remote's URL or path, from the settings.
        branch: which branch.
        copy: where the working copy is kept; it may be deleted at any time.
    """

    witnesses = False

    def __init__(self, name: str, remote: str, branch: str, copy: Path) -> None:
        self.name = name
        self._remote = remote
        self._ref = f"refs/heads/{branch}"
        self._copy = copy
        self._origin = ""

    def of(self, origin: str) -> str:
        """The name of a log's file in the remote."""
        return re.sub(r"[^A-Za-z0-9._-]", "-", origin).lstrip(".-") + ".checkpoint"

    async def held(self) -> str | None:
        """As in `Destination`: of the log whose checkpoint went there last in this process; None before the first."""
        return await self._held(self.of(self._origin)) if self._origin else None

    async def put(self, checkpoint: Checkpoint, before: int, prove: Prove) -> list[str]:
        """As in `Destination`."""
        file = self.of(checkpoint.origin)
        self._origin = checkpoint.origin
        if await self._held(file) == checkpoint.note:
            return []
        await asyncio.to_thread((self._copy / file).write_text, checkpoint.note, "utf-8")
        await self._git("add", "--", file)
        await self._git("commit", "--quiet", "--message", f"{checkpoint.origin}: {checkpoint.size} records")
        await self._git("push", "--quiet", "--", self._remote, f"HEAD:{self._ref}")
        return []

    async def _held(self, file: str) -> str | None:
        """What the remote has now; the working copy is what the branch is after that, and nothing else."""
        if not await asyncio.to_thread((self._copy / ".git").is_dir):
            await asyncio.to_thread(self._copy.mkdir, 0o700, parents=True, exist_ok=True)
            await self._git("init", "--quiet")
        if not await self._git("ls-remote", "--", self._remote, self._ref):
            await self._git("update-ref", "-d", "HEAD")
            await self._git("read-tree", "--empty")
            return None
        await self._git("fetch", "--quiet", "--depth=1", "--no-tags", "--", self._remote, self._ref)
        await self._git("reset", "--quiet", "--hard", "FETCH_HEAD")
        if not await self._git("ls-tree", "--name-only", "HEAD", "--", file):
            return None
        return await self._git("cat-file", "blob", f"HEAD:{file}")

    async def _git(self, *arguments: str) -> str:
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | _FIXED
        command = ("git", *_OPTIONS, "-C", str(self._copy), *arguments)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise self._failed(arguments[0], f"the git command cannot be run: {error.strerror}") from error
        try:
            out, errors = await process.communicate()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            raise self._failed(arguments[0], _reason(errors.decode("utf-8", "replace")))
        return out.decode("utf-8", "replace")

    def _failed(self, what: str, why: str) -> EvidenceFailed:
        return EvidenceFailed(
            "evidence_unpublished", f"{self.name} did not take the checkpoint: git {what} failed: {why}."
        )


def _reason(text: str) -> str:
    # A URL in git's own words may hold a password.
    words = re.sub(r"://[^/@\s]*@", "://***@", " ".join(text.split()))
    return words[:300] or "it says nothing"
