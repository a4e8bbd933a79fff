"""Secrets in a KV engine of version 2: a path for each, `<mount>/data/<prefix>/<tenant>/<name>`.

A version is `{"value": ..., "cenoby": {"readers": [...], "colony_only": ..., "by": ...}}`, so who may read lies with
the value and is not exchanged apart from it. Who stored the first version lies in `custom_metadata` (`owner`). What
others put there without `cenoby` is the colony's own: used by it, told to nobody, until an operator stores a version.
Requests and answers: OpenBao and Vault API, "KV Secrets Engine - Version 2 (API)".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from cenoby.kernel.settings_vault import OpenBaoSettings
from cenoby.protection.secrets import NAME_FORM, Journalled, SecretInfo, VersionInfo
from cenoby.protection.vault.keys import VaultError
from cenoby.protection.vault.openbao.client import OpenBaoClient, OpenBaoFailed, mapping
from cenoby.protection.vault.rule import SecretRefused

_MOST_FOLDERS = 10_000
_COLONY = "_colony"
"""The folder of the colony's own tenant, which has no name; no tenant's name begins so."""


class OpenBaoBackend:
    """See `SecretBackend`.

    Args:
        client: the server.
        settings: where in it.
    """

    def __init__(self, client: OpenBaoClient, settings: OpenBaoSettings) -> None:
        self._client = client
        self._settings = settings

    def require_open(self) -> None:
        """Nothing: a server that is sealed says so itself."""

    async def read_secret(self, tenant: str, name: str) -> SecretInfo | None:
        """See `SecretBackend`."""
        metadata = await self._metadata(tenant, name)
        newest = _current(metadata)
        if metadata is None or not newest:
            return None
        info = await self._info(tenant, name, newest, metadata)
        return SecretInfo(newest=info, owner=_owner(metadata), versions=newest)

    async def read_secrets(self, tenant: str, after: str, limit: int) -> list[SecretInfo]:
        """See `SecretBackend`; a name is asked for by itself, so a page costs as many requests as it has names."""
        names = sorted(name for name in await self._names(tenant) if name > after)
        found: list[SecretInfo] = []
        for name in names:
            if len(found) == limit:
                break
            if (one := await self.read_secret(tenant, name)) is not None:
                found.append(one)
        return found

    async def read_version(self, tenant: str, name: str, version: int) -> VersionInfo | None:
        """See `SecretBackend`."""
        metadata = await self._metadata(tenant, name)
        if metadata is None or str(version) not in metadata["versions"]:
            return None
        return await self._info(tenant, name, version, metadata)

    async def read_versions(self, tenant: str, name: str) -> list[VersionInfo]:
        """See `SecretBackend`; the engine forgets the oldest beyond its `max_versions`."""
        metadata = await self._metadata(tenant, name)
        if metadata is None:
            return []
        numbers = sorted((int(number) for number in metadata["versions"]), reverse=True)
        return [await self._info(tenant, name, number, metadata) for number in numbers]

    async def read_value(self, tenant: str, name: str, version: int) -> str | None:
        """See `SecretBackend`."""
        data = await self._data(tenant, name, version)
        if data is None:
            return None
        value = data.get("value")
        if not isinstance(value, str):
            raise VaultError(
                "secret_damaged", f"Version {version} of secret {name!r} has no text `value` at the OpenBao server."
            )
        return value

    async def add_version(
        self, tenant: str, name: str, value: str, *, readers: Sequence[str], colony_only: bool, created_by: str
    ) -> VersionInfo:
        """See `SecretBackend`; check-and-set, so that of two at once one is told to try again."""
        metadata = await self._metadata(tenant, name)
        present = _current(metadata)
        if not present:
            # Before there is a version, so that a kill in between leaves none without an owner.
            owner = {"custom_metadata": {"owner": created_by}}
            await self._client.ask("POST", self._path("metadata", tenant, name), owner)
        kept = {"readers": list(readers), "colony_only": colony_only, "by": created_by}
        body = {"options": {"cas": present}, "data": {"value": value, "cenoby": kept}}
        answer = await self._client.ask("POST", self._path("data", tenant, name), body)
        try:
            made = (answer or {})["data"]
            return _version(name, int(made["version"]), made, body["data"])
        except (KeyError, TypeError, ValueError):
            raise _strange(name) from None

    async def revoke(self, tenant: str, name: str, version: int | None, agent: str) -> list[int]:
        """See `SecretBackend`; deleted first, which dates it, then destroyed. Who did it is in our journal alone."""
        del agent
        metadata = await self._metadata(tenant, name)
        known = mapping((metadata or {}).get("versions"))
        numbers = [int(number) for number in known if version is None or int(number) == version]
        good = sorted(number for number in numbers if _is_good(known[str(number)]))
        if good:
            await self._client.ask("POST", self._path("delete", tenant, name), {"versions": good})
        left = sorted(number for number in numbers if not known[str(number)].get("destroyed"))
        if left:
            await self._client.ask("POST", self._path("destroy", tenant, name), {"versions": left})
        return good

    async def rotate_master_key(self, record: Journalled) -> str:
        """See `SecretBackend`; the server has its own key.

        Raises:
            VaultError: `vault_key_fixed`.
        """
        raise VaultError("vault_key_fixed", "Secrets lie at the OpenBao server; rotate its key there (`bao operator`).")

    async def _info(self, tenant: str, name: str, version: int, metadata: dict[str, Any]) -> VersionInfo:
        state = metadata["versions"].get(str(version), {})
        data = await self._data(tenant, name, version) if _is_good(state) else None
        return _version(name, version, state, data)

    async def _metadata(self, tenant: str, name: str) -> dict[str, Any] | None:
        answer = await self._client.ask("GET", self._path("metadata", tenant, name))
        if answer is None:
            return None
        data = mapping(answer.get("data"))
        if not isinstance(data.get("versions"), dict):
            raise _strange(name)
        return data

    async def _data(self, tenant: str, name: str, version: int) -> dict[str, Any] | None:
        answer = await self._client.ask("GET", f"{self._path('data', tenant, name)}?version={version}")
        data = mapping(answer).get("data")
        return mapping(mapping(data).get("data")) or None

    async def _names(self, tenant: str) -> list[str]:
        names: list[str] = []
        folders = [""]
        for asked in range(_MOST_FOLDERS):
            if asked == len(folders):
                return names
            folder = folders[asked]
            # The path of a secret in that folder, without the secret.
            path = self._path("metadata", tenant, f"{folder}k").removesuffix("k")
            answer = await self._client.ask("GET", f"{path}?list=true")
            keys: list[Any] = mapping(mapping(answer).get("data")).get("keys") or []
            for key in map(str, keys):
                if re.fullmatch(NAME_FORM, folder + key):
                    (folders if key.endswith("/") else names).append(folder + key)
        raise OpenBaoFailed("openbao_answer", f"There are more than {_MOST_FOLDERS} folders of secrets at the server.")

    def _path(self, kind: str, tenant: str, name: str) -> str:
        # A path is resolved on its way: `..` in a name would lead to another tenant's folder, or out of ours.
        parts = [tenant or _COLONY, *name.split("/")]
        if {"", ".", ".."} & set(parts) or tenant.startswith("_"):
            raise SecretRefused(
                "secret_invalid",
                f"Secret {name[:128]!r} cannot lie at the OpenBao server: a part of its name is empty or dots.",
            )
        return quote("/".join((self._settings.mount, kind, self._settings.prefix, *parts)))


def _version(name: str, version: int, state: dict[str, Any], data: dict[str, Any] | None) -> VersionInfo:
    """A version as the engine tells of it; where its value is gone, nobody but owner and operators may go on."""
    facts = mapping((data or {}).get("cenoby"))
    revoked = state.get("deletion_time") or (state.get("created_time") if state.get("destroyed") else "")
    return VersionInfo(
        name=name,
        version=version,
        readers=tuple(facts.get("readers", ())),
        colony_only=bool(facts.get("colony_only", True)),
        created_by=str(facts.get("by", "")),
        created_ns=_nanoseconds(state.get("created_time")) or 0,
        revoked_ns=_nanoseconds(revoked),
    )


def _is_good(state: dict[str, Any]) -> bool:
    return not state.get("destroyed") and not state.get("deletion_time")


def _current(metadata: dict[str, Any] | None) -> int:
    return 0 if metadata is None else int(metadata.get("current_version") or 0)


def _owner(metadata: dict[str, Any]) -> str:
    return str(mapping(metadata.get("custom_metadata")).get("owner", ""))


def _nanoseconds(text: Any) -> int | None:
    if not text:
        return None
    try:
        whole, _, part = str(text).rstrip("Z").partition(".")
        seconds = datetime.fromisoformat(whole + "+00:00").timestamp()
        return int(seconds) * 1_000_000_000 + int((part + "000000000")[:9])
    except ValueError:
        return None


def _strange(name: str) -> OpenBaoFailed:
    return OpenBaoFailed("openbao_answer", f"The OpenBao server tells of secret {name!r} otherwise than its API says.")
