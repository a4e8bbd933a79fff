"""`cenoby doctor`: what is missing on this machine, and the command that mends it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import socket
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cenoby.cli.options import Config, Data, Json
from cenoby.cli.output import print_json, print_table
from cenoby.cli.settings_source import settings_for
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings import Settings
from cenoby.kernel.settings_section import host_and_port


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `mend` says what to run or change, and is shown where it is not well."""

    what: str
    well: bool
    found: str
    mend: str = ""


def doctor(*, data: Data = None, config: Config = None, json: Json = False) -> int:
    """Look at the machine, the settings and the data directory; exit code 1 where something must be mended."""
    findings = [replace(one, mend="") if one.well else one for one in _look(data, config)]
    if json:
        print_json({"well": all(one.well for one in findings), "findings": [asdict(one) for one in findings]})
    else:
        rows = [("ok" if one.well else "MEND", one.what, one.found, one.mend) for one in findings]
        print_table(("", "what", "found", "to mend it"), rows)
    return 0 if all(one.well for one in findings) else 1


def _look(data: Path | None, config: Path | None) -> Iterator[Finding]:
    yield _python()
    yield _sqlite()
    try:
        settings = settings_for(data, config)
    except CenobyError as error:
        yield Finding("settings", False, error.message, "cenoby config check FILE")
        return
    yield Finding("settings", True, str(config or "defaults and environment"))
    checks: tuple[Callable[[Settings], Finding], ...] = (_data, _key, _address, _sandbox, _telemetry)
    for check in checks:
        yield check(settings)


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer, then ./dev up")


def _sqlite() -> Finding:
    connection = sqlite3.connect(":memory:")
    options = {row[0] for row in connection.execute("PRAGMA compile_options")}
    connection.close()
    well = "ENABLE_FTS5" in options and sqlite3.sqlite_version_info >= (3, 35)
    return Finding("sqlite", well, sqlite3.sqlite_version, "use a Python whose SQLite is 3.35 or newer with FTS5")


def _data(settings: Settings) -> Finding:
    folder = settings.data
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        return Finding("data directory", False, f"{existing} cannot be written", "choose another with --data DIR")
    if existing == folder and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        return Finding("data directory", False, "others may read it", f"chmod 700 {folder}")
    return Finding("data directory", True, str(folder))


def _key(settings: Settings) -> Finding:
    if settings.vault.key == "env":
        well = bool(os.environ.get("CENOBY_MASTER_KEY"))
        mend = 'export CENOBY_MASTER_KEY="$(head -c 32 /dev/urandom | base64)"  # and keep it'
        return Finding("master key", well, "CENOBY_MASTER_KEY", mend)
    if settings.vault.key == "keyring":
        import keyring

        backend = keyring.get_keyring()
        well = getattr(backend, "priority", 0) > 0
        return Finding("master key", well, backend.__class__.__name__, "set vault.key to file or env")
    if settings.vault.key == "systemd":
        well = bool(os.environ.get("CREDENTIALS_DIRECTORY"))
        mend = "start it as a service with LoadCredentialEncrypted=cenoby-master-key:FILE"
        return Finding("master key", well, "a credential of systemd", mend)
    if settings.vault.key == "tpm":
        well = shutil.which("tpm2_unseal") is not None
        return Finding("master key", well, "this device's TPM", "apt-get install tpm2-tools")
    file = settings.vault.file or settings.data / "master.key"
    if file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o077:
        return Finding("master key", False, "others may read it", f"chmod 600 {file}")
    return Finding("master key", True, str(file) if file.exists() else "made at first start")


def _address(settings: Settings) -> Finding:
    from cenoby.app.data_dir import DataDirUnavailable, find

    try:
        return Finding("address", True, f"a colony answers at {find(settings.data).url}")
    except DataDirUnavailable:
        pass  # None runs here, so the address must be free.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(host_and_port(settings.listen))
        except OSError as error:
            return Finding(
                "address", False, f"{settings.listen}: {error.strerror}", "cenoby up --listen 127.0.0.1:8601"
            )
    return Finding("address", True, f"{settings.listen} is free")


def _sandbox(settings: Settings) -> Finding:
    from cenoby.app.protection_words import sandbox_words
    from cenoby.sandbox.cell import Sandbox

    try:
        held = asyncio.run(Sandbox(settings.sandbox, modules=()).protections())
    except CenobyError as error:
        mend = "take what is missing out of sandbox.require, or change the kernel"
        return Finding("sandbox", False, error.message, mend)
    return Finding("sandbox", True, "; ".join(f"{name} {words}" for name, words in sandbox_words(held).items()))


def _telemetry(settings: Settings) -> Finding:
    if settings.telemetry.otlp_endpoint is None:
        return Finding("telemetry", True, "nothing leaves this machine")
    well = importlib.util.find_spec("opentelemetry.sdk") is not None
    return Finding("telemetry", well, settings.telemetry.otlp_endpoint, "pip install 'cenoby[otlp]'")
