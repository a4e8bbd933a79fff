"""A caller whom another node names is believed only as far as the store, or the rule for MADs, says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from cenoby.access.kills import Kills
from cenoby.access.principals import Principal
from cenoby.access.recheck import Recheck
from cenoby.access.roles import AccessRefused, RoleTable
from cenoby.app.shipped_mads import mad_principal
from cenoby.kernel.clock import ManualClock
from cenoby.store.database import Database
from tests.stores import cache_of


@pytest.fixture
async def recheck(tmp_path: Path) -> AsyncIterator[Recheck]:
    clock = ManualClock()
    database = await Database.open(tmp_path / "colony.db", clock=clock)
    kills = Kills(cache := cache_of(database), clock)
    await cache.warm()
    yield Recheck(database, RoleTable(), clock, mad_principal, kills)
    await database.close()


async def test_a_mad_has_the_roles_of_a_mad(recheck: Recheck) -> None:
    """Another node may say that one of its MADs calls, but not with which roles, tenant or kind."""
    mad = mad_principal("roamer")
    await recheck.confirm(mad, "test:run", "mads.roamer.where")
    for change in (
        {"roles": ("operator",)},
        {"tenant": "other"},
        {"kind": "person"},
        {"roles": ("developer", "admin")},
    ):
        with pytest.raises(AccessRefused) as refused:
            await recheck.confirm(msgspec.structs.replace(mad, **change), "test:run", "mads.roamer.where")
        assert refused.value.code == "roles_changed"


async def test_a_token_that_is_none_is_refused(recheck: Recheck) -> None:
    """As is one with a MAD's principal: a token id is always looked up."""
    for principal in (
        Principal("ola", "default", ("operator",), "person", "t1"),
        msgspec.structs.replace(mad_principal("roamer"), token_id="t1"),
    ):
        with pytest.raises(AccessRefused):
            await recheck.confirm(principal, "test:run", "mads.roamer.where")
