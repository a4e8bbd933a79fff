"""A node process on this machine that a running colony starts for one of its MADs."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cenoby.access.enrolment import Enrolment, node_key
from cenoby.app.data_dir import is_owned
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings import Settings
from cenoby.kernel.settings_file import is_setting, private_tree
from cenoby.store.private_file import write_private

KEY_FILE = "node.key"
_OF_SYSTEMD = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
_STOP_SECONDS = 10.0
_LOOK_SECONDS = 0.5


class NodeProcess:
    """A child process and its node's name."""

    def __init__(
        self, node: str, process: asyncio.subprocess.Process, data: Path, enrolment: Enrolment, drain_seconds: float
    ) -> None:
        self.node = node
        self._process = process
        self._stop_seconds = drain_seconds + _STOP_SECONDS
        self._data = data
        self._enrolment = enrolment

    async def ended(self) -> int:
        """Wait until it ends; its exit code."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Have it end in good order, and make it end where it does not."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), self._stop_seconds)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def forget(self) -> None:
        """Believe its signature no more, and remove its data directory; what its MAD keeps in files is not there."""
        await _forget(self.node, self._data, self._enrolment)


class Leftover:
    """A child of an earlier run of this node, which was killed; it may still run, or have ended, too."""

    def __init__(self, data: Path, enrolment: Enrolment) -> None:
        self.node = data.name
        self._data = data
        self._enrolment = enrolment

    async def ended(self) -> int:
        """Wait until nobody owns its data directory."""
        while await asyncio.to_thread(is_owned, self._data):  # noqa: ASYNC110 - a lock of another process tells nobody
            await asyncio.sleep(_LOOK_SECONDS)
        return 0

    async def stop(self) -> None:
        """Nothing: it is no process of ours. It is told over the bus."""

    async def forget(self) -> None:
        """Believe its signature no more, and remove its data directory."""
        await _forget(self.node, self._data, self._enrolment)


def leftovers(settings: Settings, enrolment: Enrolment) -> list[Leftover]:
    """Children that an earlier run of this node left behind. Blocks."""
    return [Leftover(folder, enrolment) for folder in sorted((settings.data / "nodes").glob("*")) if folder.is_dir()]


async def _forget(node: str, data: Path, enrolment: Enrolment) -> None:
    await enrolment.remove(node)
    await asyncio.to_thread(shutil.rmtree, data)


async def start_node(settings: Settings, enrolment: Enrolment, mad: str, entry: str) -> NodeProcess:
    """Start `cenoby node` for one MAD, with the settings of this colony and an enrolled key of its own.

    Its data directory is DATA/nodes/NODE; what the MAD keeps in files stays where it is, and so does the master key.

    Args:
        settings: of this colony.
        enrolment: where its key is enrolled.
        mad: the MAD's name.
        entry: what the setting `mads` calls it.

    Raises:
        OSError: its directory cannot be made, or the process cannot be started.
        StoreUnavailable: its key cannot be enrolled.
    """
    node = f"{settings.node_name}-{mad.replace('_', '-')}-{new_id()[-6:]}"
    data = settings.data / "nodes" / node
    try:
        key = await asyncio.to_thread(_prepare, settings, data)
        await enrolment.enroll(node, key, settings.node_name)
        process = await _start(settings, node, data, entry)
    except BaseException:
        await enrolment.remove(node)
        await asyncio.to_thread(shutil.rmtree, data, ignore_errors=True)
        raise
    return NodeProcess(node, process, data, enrolment, settings.gateway.drain_timeout)


async def _start(settings: Settings, node: str, data: Path, entry: str) -> asyncio.subprocess.Process:
    overrides = {
        "data": str(data),
        "node": node,
        "mads": [entry],
        "vault": private_tree(settings)["vault"] | _master_key(settings),
    }
    file = data / "cenoby.yaml"
    text = yaml.safe_dump(private_tree(settings) | overrides, allow_unicode=False)
    await asyncio.to_thread(write_private, file, text)
    # The file says all that the variables said; they would win over it. A service manager is told by its own process.
    ours = {name: text for name, text in os.environ.items() if not is_setting(name) and name not in _OF_SYSTEMD}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cenoby.cli.main", "node", "--config", str(file)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        env=ours,
    )


def _prepare(settings: Settings, data: Path) -> str:
    data.mkdir(parents=True, mode=0o700)
    files = settings.data / "mads"
    files.mkdir(exist_ok=True, mode=0o700)
    (data / "mads").symlink_to(files.absolute())
    return node_key(data / KEY_FILE).public.to_text()


def _master_key(settings: Settings) -> Mapping[str, Any]:
    if settings.vault.key not in ("file", "tpm"):
        return {}
    name = "master.key" if settings.vault.key == "file" else "master.tpm"
    return {"file": str(settings.vault.file or (settings.data / name).absolute())}
