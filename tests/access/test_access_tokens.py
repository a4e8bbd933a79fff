"""Agents and their tokens."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from late_answers import LateAnswers

from cenoby.access.flags import Flags
from cenoby.access.holds import Hold
from cenoby.access.operator_file import ensure_operator
from cenoby.access.principals import Principal
from cenoby.access.roles import AccessRefused, RoleTable
from cenoby.access.tokens import AccessUnauthenticated, Identities, NewToken
from cenoby.kernel.clock import Clock, ManualClock, SystemClock
from cenoby.kernel.events import Event
from cenoby.store.database import Database, StoreUnavailable
from tests.stores import cache_of, everything_in


@pytest.fixture
async def identities(database: Database, clock: ManualClock) -> Identities:
    return await identities_of(database, clock, RoleTable())


async def identities_of(database: Database, clock: Clock, *more: Any, **options: Any) -> Identities:
    """All agents and tokens of a database, in memory."""
    cache = cache_of(database)
    identities = Identities(cache, clock, *more, **options)
    await cache.warm()
    return identities


def code_of(identities: Identities, token: str) -> str:
    """The code with which a token is turned away."""
    with pytest.raises(AccessUnauthenticated) as refused:
        identities.authenticate(token)
    return refused.value.code


async def refused_code(identities: Identities, agent: str, *roles: str, **options: object) -> str:
    """The code with which a new token is refused."""
    with pytest.raises(AccessRefused) as refused:
        await identities.create_token(agent, roles, **options)  # type: ignore[arg-type]
    return refused.value.code


async def test_a_token_names_its_agent(identities: Identities) -> None:
    """The token that was handed out leads to agent, tenant, kind and sorted roles, again and again."""
    token_id, text = await identities.create_token("ada", ["observer", "auditor", "observer"], tenant="lab", kind="mad")
    expected = Principal("ada", "lab", ("auditor", "observer"), "mad", token_id)
    assert [identities.authenticate(text) for _ in range(3)] == [expected] * 3
    assert text.startswith("cby_")
    assert len(text) == 47


@given(st.text())
@settings(deadline=None)
def test_no_other_text_authenticates(text: str) -> None:
    """Any text that is no token is turned away as missing or unknown, whatever its characters."""
    cache = cache_of(None)  # type: ignore[arg-type]
    identities = Identities(cache, ManualClock())
    with pytest.raises(StoreUnavailable):
        identities.authenticate(text or "text")
    for table in cache._tables.values():
        table.take({}, 0)
    assert code_of(identities, text) == ("token_unknown" if text else "token_missing")


async def test_the_store_holds_no_token(identities: Identities, database: Database) -> None:
    """Neither the text nor a part of it is kept."""
    _, text = await identities.create_token("ada", ["observer"])
    kept = await database.read(everything_in)
    assert "ada" in kept
    assert text not in kept
    assert text[4:20] not in kept


async def test_a_token_expires(identities: Identities, clock: ManualClock) -> None:
    """A token works until its time is over, remembered or not."""
    _, text = await identities.create_token("ada", ["observer"], ttl_seconds=60)
    clock.advance(59.9)
    assert identities.authenticate(text).agent == "ada"
    clock.advance(0.1)
    assert [code_of(identities, text) for _ in range(2)] == ["token_expired"] * 2


async def test_a_revoked_token_is_dead_at_once(identities: Identities) -> None:
    """Revocation ends a token that is in use; other tokens of the agent go on; doing it again is fine."""
    first, second = await identities.create_token("ada", ["observer"]), await identities.create_token("ada")
    identities.authenticate(first.text)
    shown = await identities.revoke(first.id)
    assert shown.revoked_ns is not None
    assert code_of(identities, first.text) == "token_revoked"
    assert identities.authenticate(second.text).token_id == second.id
    assert await identities.revoke(first.id) == shown


async def test_revoking_nothing_is_an_error(identities: Identities) -> None:
    """A wrong id is said to be wrong."""
    with pytest.raises(AccessRefused) as refused:
        await identities.revoke("nothing")
    assert refused.value.code == "token_not_found"


async def test_roles_belong_to_the_agent(identities: Identities) -> None:
    """Other roles for an agent that exists are refused, unless they replace its own, for all its tokens."""
    first = await identities.create_token("ada", ["developer"])
    assert await refused_code(identities, "ada", "observer") == "roles_differ"
    again = await identities.create_token("ada", ["developer"])
    last = await identities.create_token("ada", ["observer"], replace_roles=True)
    for token in (first, again, last):
        assert identities.authenticate(token.text).roles == ("observer",)


async def test_an_agent_stays_in_its_tenant(identities: Identities) -> None:
    """Tenant and kind of an agent that exists never change, not even with replace_roles."""
    await identities.create_token("ada", ["observer"], tenant="lab")
    assert await refused_code(identities, "ada", "observer", tenant="default", replace_roles=True) == "roles_differ"
    assert await refused_code(identities, "ada", kind="person") == "roles_differ"
    _, text = await identities.create_token("ada")
    assert identities.authenticate(text).tenant == "lab"


@pytest.mark.parametrize("name", ["", "Ada", "a b", "-a", "a" * 64, "a/b", "ada\n", "ädä", "a.b"])
async def test_names_are_plain(identities: Identities, name: str) -> None:
    """Names of agents and tenants are short, lower-case and without surprises."""
    assert await refused_code(identities, name, "observer") == "agent_invalid"
    assert await refused_code(identities, "ada", "observer", tenant=name or "!") == "agent_invalid"
    assert identities.list_agents() == []


async def test_nobody_from_outside_takes_the_name_of_a_mad(database: Database, clock: ManualClock) -> None:
    """A token under a MAD's name would carry what is meant for the MAD alone; also for one that is hosted later."""
    hosted = {"turing"}
    identities = await identities_of(database, clock, reserved=hosted)
    assert await refused_code(identities, "turing", "developer") == "agent_invalid"
    hosted.add("gates")
    assert await refused_code(identities, "gates", "developer", kind="mad") == "agent_invalid"


async def test_a_new_agent_needs_roles_that_exist(identities: Identities) -> None:
    """No roles, or a misspelt one, and there is neither agent nor token."""
    assert await refused_code(identities, "ada") == "agent_invalid"
    assert await refused_code(identities, "ada", "developper") == "role_unknown"
    assert identities.list_agents() == []


@pytest.mark.parametrize("ttl", [0, -1, float("inf"), float("nan"), 1e30])
async def test_a_time_to_live_makes_sense(identities: Identities, ttl: float) -> None:
    """A token that would be dead at birth, or whose time is no time, is refused."""
    assert await refused_code(identities, "ada", "observer", ttl_seconds=ttl) == "agent_invalid"


async def test_the_operator_sees_agents_and_tokens(identities: Identities, clock: ManualClock) -> None:
    """Listings show what there is, with expiry and revocation, and never a token."""
    now = clock.now_ns()
    short = await identities.create_token("bob", ["observer"], ttl_seconds=10)
    await identities.create_token("bob", ttl_seconds=20)
    await identities.create_token("ada", ["developer"], kind="person")
    ada, bob = identities.list_agents()
    assert (ada.name, ada.kind, ada.roles, ada.live_tokens, ada.last_expiry_ns) == (
        "ada",
        "person",
        ("developer",),
        1,
        None,
    )
    assert (bob.live_tokens, bob.last_expiry_ns, bob.tenant, bob.created_ns) == (2, now + 20 * 10**9, "default", now)
    await identities.revoke(short.id)
    first, second = identities.list_tokens("bob")
    assert (first.id, first.agent, first.created_ns, first.expires_ns) == (short.id, "bob", now, now + 10 * 10**9)
    assert (first.revoked_ns, second.revoked_ns) == (now, None)
    assert len(identities.list_tokens()) == 3
    clock.advance(60)
    assert identities.list_agents()[1].live_tokens == 0


async def test_many_tokens_are_remembered_within_bounds(database: Database, clock: ManualClock) -> None:
    """However many tokens are used, what is remembered of them is bounded, and all still work."""
    identities = await identities_of(database, clock, remembered=8)
    texts = [(await identities.create_token("ada", ["observer"])).text for _ in range(20)]
    for text in texts * 2:
        assert identities.authenticate(text).agent == "ada"
        assert len(identities._recent) <= 8


async def test_a_caller_that_gives_up_leaves_memory_and_store_alike(database: Database, clock: ManualClock) -> None:
    """Cancelling a change of roles half-way does not leave old roles in memory and new ones in the store."""
    late = LateAnswers(database)
    late.release.set()
    identities = await identities_of(late, clock)  # type: ignore[arg-type]
    first = await identities.create_token("ada", ["developer"])
    late.release.clear()
    late.written.clear()
    change = asyncio.create_task(identities.create_token("ada", ["observer"], replace_roles=True))
    await late.written.wait()
    change.cancel()
    with pytest.raises(asyncio.CancelledError):
        await change
    late.release.set()
    await identities.create_token("bob", ["observer"])
    assert identities.authenticate(first.text).roles == ("observer",)
    restarted = await identities_of(database, clock)
    assert restarted.authenticate(first.text) == identities.authenticate(first.text)
    assert restarted.list_tokens() == identities.list_tokens()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.integers(1, 50)),
        st.tuples(st.just("create"), st.none()),
        st.tuples(st.just("revoke"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.integers(1, 30)),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_only_live_tokens_ever_authenticate(
    fresh_file: Callable[[], Path], steps: list[tuple[str, int | None]]
) -> None:
    """Through any order of making, revoking, waiting and restarting, a token works exactly while it is neither expired
    nor revoked."""

    async def play() -> None:
        clock = ManualClock()
        database = await Database.open(fresh_file(), clock=clock)
        identities = await identities_of(database, clock)
        made: list[tuple[str, str, int | None]] = []
        revoked: set[str] = set()
        for step, value in steps:
            if step == "create":
                new = await identities.create_token("ada", ["observer"], ttl_seconds=value)
                made.append((*new, None if value is None else clock.now_ns() + value * 10**9))
            elif step == "revoke" and made and value is not None:
                token_id = made[value % len(made)][0]
                await identities.revoke(token_id)
                revoked.add(token_id)
            elif step == "wait" and value is not None:
                clock.advance(value)
            elif step == "restart":
                identities = await identities_of(database, clock)
            for token_id, text, expires in made:
                if token_id in revoked:
                    assert code_of(identities, text) == "token_revoked"
                elif expires is not None and expires <= clock.now_ns():
                    assert code_of(identities, text) == "token_expired"
                else:
                    assert identities.authenticate(text).token_id == token_id
        await database.close()

    asyncio.run(play())


async def test_the_operator_file_holds_the_token_and_nothing_else(identities: Identities, tmp_path: Path) -> None:
    """The file is made with mode 0600, holds a working operator token without a newline, and is then left alone."""
    file = tmp_path / "admin.token"
    assert await ensure_operator(identities, file)
    text = file.read_text()
    principal = identities.authenticate(text)
    assert (principal.agent, principal.roles, principal.kind) == ("operator", ("operator",), "person")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.glob("*")) == ["admin.token"]
    assert not await ensure_operator(identities, file)
    assert file.read_text() == text


async def test_a_readable_operator_file_is_closed_again(identities: Identities, tmp_path: Path) -> None:
    """A mode that lets others read is put right."""
    file = tmp_path / "admin.token"
    await ensure_operator(identities, file)
    file.chmod(0o644)
    assert not await ensure_operator(identities, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "newline", "revoked", "other agent"])
async def test_an_operator_file_that_does_not_work_is_made_anew(
    identities: Identities, tmp_path: Path, damage: str
) -> None:
    """Whatever happened to the file, a start puts a working token there, and the one before is revoked."""
    file = tmp_path / "admin.token"
    await ensure_operator(identities, file)
    before = file.read_text()
    other = await identities.create_token("ada", ["developer"])
    if damage == "missing":
        file.unlink()
    elif damage == "revoked":
        await identities.revoke(identities.authenticate(before).token_id)
    else:
        file.write_bytes(
            {
                "empty": b"",
                "garbage": b"\xff\x00",
                "newline": before.encode() + b"\n",
                "other agent": other.text.encode(),
            }[damage]
        )
    assert await ensure_operator(identities, file)
    assert identities.authenticate(file.read_text()).agent == "operator"
    assert code_of(identities, before) == "token_revoked"
    assert identities.authenticate(other.text).agent == "ada"


async def test_an_operator_without_its_role_gets_it_back(identities: Identities, tmp_path: Path) -> None:
    """An operator that was robbed of its role, or made by hand with another, is an operator again after a start."""
    file = tmp_path / "admin.token"
    await identities.create_token("operator", ["observer"])
    await ensure_operator(identities, file)
    assert identities.authenticate(file.read_text()).roles == ("operator",)
    await identities.create_token("operator", ["observer"], replace_roles=True)
    assert await ensure_operator(identities, file)
    assert identities.authenticate(file.read_text()).roles == ("operator",)


async def test_extra_operator_tokens_survive_a_new_file(identities: Identities, tmp_path: Path) -> None:
    """Only the token of the file is replaced; others that an operator made go on working."""
    file = tmp_path / "admin.token"
    await ensure_operator(identities, file)
    extra = await identities.create_token("operator")
    file.unlink()
    await ensure_operator(identities, file)
    assert identities.authenticate(extra.text).agent == "operator"


async def test_a_directory_that_is_not_there_is_an_error(identities: Identities, tmp_path: Path) -> None:
    """A file that cannot be written is said so, and leaves nothing beside it."""
    with pytest.raises(OSError):
        await ensure_operator(identities, tmp_path / "none" / "admin.token")


async def test_whoever_holds_something_open_is_told_once_of_what_ends_it(identities: Identities) -> None:
    """Revocation and other roles reach every hold of that token or agent within the change, and no other hold."""
    ada, bob = await identities.create_token("ada", ["observer"]), await identities.create_token("bob", ["observer"])
    second = await identities.create_token("ada")
    told: list[tuple[str, str]] = []

    def hold(name: str, token: NewToken) -> Hold:
        return identities.hold(identities.authenticate(token.text), lambda problem: told.append((name, problem.code)))

    holds = [hold(name, token) for name, token in (("ada", ada), ("bob", bob), ("second", second), ("released", ada))]
    holds[-1].release()
    holds[-1].release()
    await identities.revoke(ada.id)
    assert told == [("ada", "token_revoked")]
    await identities.revoke(ada.id)
    await identities.create_token("ada", ["auditor"], replace_roles=True)
    assert told == [("ada", "token_revoked"), ("second", "roles_changed")]


async def test_a_hold_ends_with_the_time_of_its_token(database: Database) -> None:
    """A token that expires while something stands open under it, or before, ends it by itself."""
    identities = await identities_of(database, SystemClock())
    told: asyncio.Queue[str] = asyncio.Queue()
    _, text = await identities.create_token("ada", ["observer"], ttl_seconds=0.3)
    principal = identities.authenticate(text)
    for _ in range(2):
        with identities.hold(principal, lambda problem: told.put_nowait(problem.code)):
            assert await asyncio.wait_for(told.get(), 30) == "token_expired"
    assert told.empty()


async def test_another_process_sees_tokens_and_roles_as_they_are(database: Database, clock: ManualClock) -> None:
    """Made, revoked and given other roles in one process: so in the other after a look, and what stood open there ends.

    A token made in the process that has not looked yet does not bring old roles back.
    """
    here, cache = await identities_of(database, clock), cache_of(database)
    there = Identities(cache, clock)
    await cache.warm()
    first, second = await here.create_token("ada", ["developer"]), await here.create_token("ada")
    assert code_of(there, first.text) == "token_unknown"
    await cache.refresh()
    told: list[str] = []
    there.hold(there.authenticate(first.text), lambda problem: told.append(problem.code))
    await here.revoke(first.id)
    await here.create_token("ada", ["observer"], replace_roles=True)
    third = await there.create_token("ada")
    assert there.authenticate(third.text).roles == ("observer",)
    await cache.refresh()
    assert told in (["token_revoked"], ["roles_changed"])
    assert code_of(there, first.text) == "token_revoked"
    assert there.authenticate(second.text).roles == ("observer",)
    assert await there.revoke(second.id)


async def test_a_token_that_is_gone_from_the_database_ends_what_stands_open(
    database: Database, clock: ManualClock
) -> None:
    """The database wins over memory, also where a row was removed by hand."""
    cache = cache_of(database)
    identities = Identities(cache, clock)
    await cache.warm()
    token = await identities.create_token("ada", ["observer"])
    told: list[str] = []
    identities.hold(identities.authenticate(token.text), lambda problem: told.append(problem.code))
    await database.write(lambda connection: connection.execute("DELETE FROM tokens").rowcount)
    await cache.reconcile()
    assert code_of(identities, token.text) == "token_unknown"
    assert told == ["token_unknown"]


async def test_operators_files_of_two_nodes_do_not_end_each_other(
    identities: Identities, database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    """Each process of a colony has a file of its own; making one anew leaves that of the other node alone."""
    for node in ("n1", "n2", "n2"):
        (tmp_path / node).unlink(missing_ok=True)
        assert await ensure_operator(identities, tmp_path / node, node)
    assert identities.authenticate((tmp_path / "n1").read_text()).agent == "operator"
    assert len([one for one in identities.list_tokens("operator") if one.revoked_ns is None]) == 2
    again = cache_of(database)
    restarted = Identities(again, clock)
    await again.warm()
    assert not await ensure_operator(restarted, tmp_path / "n1", "n1")


async def test_what_is_in_memory_after_any_change_is_what_is_on_disk(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    """Making an agent an operator again, new roles, revocations: none of it leaves a difference to be found later."""
    noted: list[Event] = []
    cache = cache_of(database, noted.append)
    identities, flags = Identities(cache, clock), Flags(cache, clock)
    await cache.warm()
    ola = Principal("ola", "default", ("operator",), "person")
    for _ in range(2):
        token = await identities.create_token("ada", ["observer"], ttl_seconds=9)
        clock.advance(1)
        await identities.create_token("ada", ["auditor", "observer"], replace_roles=True)
        await identities.create_token("ada", ["observer"], replace_roles=True)
        await identities.revoke(token.id)
        clock.advance(1)
        await identities.revoke(token.id)
        await ensure_operator(identities, tmp_path / "admin.token")
        (tmp_path / "admin.token").unlink()
        await flags.put("mads.rogers", ola, percentage=5, agents=["a", "b"], reason="r")
    assert await flags.remove("mads.rogers", ola)
    assert not await flags.remove("mads.rogers", ola)
    await cache.reconcile()
    assert noted == []
