"""What falls due with a colony's secrets while it runs, and what gives them their next values."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, cast

from cenoby.access.principals import Principal
from cenoby.app.shipped_mads import Parts, mad_principal
from cenoby.colony.invocation import Invocation
from cenoby.kernel.envelope import DEFAULT_TENANT
from cenoby.kernel.settings_secrets import RotationSettings
from cenoby.protection.vault.keys import VaultError
from cenoby.protection.vault.renewal import Renewals
from cenoby.protection.vault.upkeep import LeaseSweep, upkeep

_TURING: Principal = mad_principal("turing")
"""As whom a tool is asked for the next value of a secret: what policy says of that agent holds."""


def keep_secrets_up(parts: Parts) -> AbstractAsyncContextManager[None]:
    """Note leases that ran out and renew what is due, again and again while the block runs."""
    sweep = LeaseSweep(parts.database, parts.ports.journal, parts.ports.clock)
    return upkeep([sweep, make_renewals(parts)], parts.settings.secrets.look_seconds)


def make_renewals(parts: Parts) -> Renewals:
    """What renews the secrets that the settings name: tools through the pipeline, tasks in the sandbox."""

    async def by_tool(rotation: RotationSettings) -> object:
        assert rotation.tool is not None, "the settings were checked"
        if not parts.ports.host.tool(rotation.tool).says.sensitive_result:
            raise VaultError(
                "secret_not_renewed",
                f"{rotation.tool} does not declare its result as sensitive, so the value would be journalled.",
            )
        outcome = await parts.pipeline.run(Invocation(rotation.tool, dict(rotation.arguments), _TURING))
        value = outcome.unwrap()
        return cast(dict[str, Any], value).get(rotation.field) if isinstance(value, dict) else None

    async def by_task(rotation: RotationSettings) -> object:
        assert rotation.task is not None, "the settings were checked"
        return await parts.sandbox.call(rotation.task, {})

    return Renewals(
        parts.vault,
        parts.database,
        parts.ports.journal,
        parts.ports.clock,
        parts.settings.secrets,
        DEFAULT_TENANT,
        {"tool": by_tool, "task": by_task},
    )
