"""Nothing of one tenant shows in another: two of them use every tool in any order, and each plants marks."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cenoby.access.principals import Principal
from cenoby.access.registration import Wish
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.invocation import Outcome
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.codec import to_json
from cenoby.kernel.settings_file import load_settings
from tests.protection.test_protection_dlp_rules import colony
from tests.protection.test_protection_tokens import RULES, Desk, text_of

TENANTS = ("default", "rival")
MARK = {"default": "zebra", "rival": "okapi"}
"""Every text of a tenant holds its mark, names of agents too; ids do not, and both tenants try each other's."""

NOT_TRIED = {
    # They would take the colony down for both; that only its home tenant may is another test.
    "mads.grace.pause_mad", "mads.grace.restart_mad", "mads.grace.kill_mad", "mads.grace.split_mad",
    "mads.grace.merge_mad", "mads.grace.drain_node", "mads.grace.revoke_node", "mads.grace.open_circuit",
    "mads.grace.throw_kill_switch", "mads.grace.set_flag",
    # It asks the network.
    "mads.marco.fetch", "mads.marco.links",
}  # fmt: skip
HOME_ONLY = {
    "pause_mad": {"mad": "rogers", "reason": "r"},
    "resume_mad": {"mad": "rogers"},
    "restart_mad": {"mad": "rogers", "reason": "r"},
    "kill_mad": {"mad": "rogers", "reason": "r"},
    "split_mad": {"mad": "rogers"},
    "merge_mad": {"mad": "rogers"},
    "drain_node": {"node": "main-1"},
    "enroll_node": {"node": "x", "public_key": "x"},
    "revoke_node": {"node": "main-1"},
    "open_circuit": {"circuit": "mad:rogers", "reason": "r"},
    "close_circuit": {"circuit": "mad:rogers"},
    "list_dead_letters": {},
    "retry_dead_letter": {"letter": "x"},
    "drop_dead_letter": {"letter": "x"},
    "make_checkpoint": {},
    "publish_checkpoint": {},
    "accept_tool": {"name": "mads.other.say", "digest": "x"},
}


class World:
    """A colony, an operator and a developer in each tenant, and all ids that anybody was told."""

    def __init__(self, colony: Colony, tokens: dict[str, list[str]]) -> None:
        self.colony = colony
        self.tokens = tokens
        self.ids: list[str] = []
        self.number = 0

    async def call(self, tenant: str, tool: str, arguments: dict[str, Any], who: int = 0) -> Outcome:
        outcome = await self.colony.call(self.tokens[tenant][who], tool, arguments)
        shown = _shown(outcome)
        other = next(one for one in TENANTS if one != tenant)
        assert MARK[other] not in shown.lower(), f"{tool} {arguments} shows {other} to {tenant}: {shown[:2000]}"
        self.learn(json.loads(shown)["value"])
        return outcome

    def learn(self, value: Any) -> None:
        """Keep every id in what somebody was told."""
        if isinstance(value, dict):
            for name, one in value.items():
                if isinstance(one, str) and " " not in one and (name in ("id", "conversation") or name.endswith("_id")):
                    self.ids.append(one)
                self.learn(one)
        elif isinstance(value, list):
            for one in value:
                self.learn(one)

    def arguments(self, tenant: str, schema: dict[str, Any], draw: random.Random) -> dict[str, Any]:
        """Something that fits a tool's schema, of this tenant's words and of anybody's ids."""
        wanted = schema.get("required", [])
        given = {}
        for name, says in schema.get("properties", {}).items():
            if name in wanted or draw.random() < 0.4:
                given[name] = self.value(tenant, name, says, schema, draw)
        return given

    def value(self, tenant: str, name: str, says: dict[str, Any], schema: dict[str, Any], draw: random.Random) -> Any:
        while "$ref" in says:
            says = schema["$defs"][says["$ref"].rsplit("/", 1)[1]]
        if "anyOf" in says:
            return self.value(tenant, name, draw.choice(says["anyOf"]), schema, draw)
        if "enum" in says:
            return draw.choice(says["enum"])
        kind = says.get("type", "string")
        if kind == "integer":
            return draw.randint(int(says.get("minimum", 0)), min(int(says.get("maximum", 20)), 20))
        if kind == "number":
            return draw.uniform(0.5, 5)
        if kind == "boolean":
            return draw.random() < 0.5
        if kind == "array":
            return [self.value(tenant, name, says["items"], schema, draw)] if draw.random() < 0.8 else []
        if kind == "object":
            return {}
        if kind == "null":
            return None
        return self.text(tenant, name, draw)

    def text(self, tenant: str, name: str, draw: random.Random) -> str:
        self.number += 1
        mark = MARK[tenant]
        if name in ("agent", "agents", "participants", "recipient", "parent", "mention"):
            return draw.choice([f"{mark}-op", f"{mark}-dev"])
        if name in ("roles", "role"):
            return "observer"
        if name in ("tool", "mad", "flag", "tenant", "department"):
            return {"tool": "mads.rogers.post_message", "mad": "rogers", "flag": "mads.rogers"}.get(name, mark)
        if (name.endswith("_id") or name in ("conversation", "cursor", "before", "after", "letter")) and self.ids:
            return draw.choice(self.ids)
        # Secrets have the same names in both tenants.
        if name == "name" and draw.random() < 0.5:
            return "key"
        return f"{mark} {self.number} shared words"


def _shown(outcome: Outcome) -> str:
    error = None if outcome.error is None else outcome.error.to_wire()
    value = outcome.json.decode() if outcome.json else to_json(outcome.content).decode()
    return f'{{"error": {to_json(error).decode()}, "value": {value}}}'


@asynccontextmanager
async def world_on(data: Path) -> AsyncIterator[World]:
    overrides: dict[str, Any] = {
        "data": data,
        "mads": ["rogers", "fiedler", "turing", "grace", "marco"],
        "telemetry": {"log_level": "error"},
        "approvals": {"require": ["memory:write"]},
        "publish": [{"name": "talk", "version": 1, "tools": {"open": "mads.rogers.create_conversation",
                                                             "post": "mads.rogers.post_message",
                                                             "find": "mads.rogers.search"}}],
    }  # fmt: skip
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
        tokens: dict[str, list[str]] = {}
        identities = colony.parts.ports.identities
        for tenant in TENANTS:
            made = [
                await identities.issue(Wish(name=f"{MARK[tenant]}-{name}", tenant=tenant, roles=(role,)))
                for name, role in (("op", "operator"), ("dev", "developer"))
            ]
            tokens[tenant] = [one.text for one in made]
        yield World(colony, tokens)


async def random_calls(data: Path, seed: int, steps: int) -> None:
    draw = random.Random(seed)
    async with world_on(data) as world:
        tools = [one for one in world.colony.parts.ports.host.tools if one.name not in NOT_TRIED]
        for _ in range(steps):
            tenant, found = draw.choice(TENANTS), draw.choice(tools)
            arguments = world.arguments(tenant, found.input_schema, draw)
            if found.name.endswith("watch_conversation"):
                arguments["seconds"] = 0
            await world.call(tenant, found.name, arguments, draw.randrange(2))
        for tenant in TENANTS:
            for tool, arguments in LOOKS:
                await world.call(tenant, tool, arguments)
            known = sorted(set(world.ids))
            for record in draw.sample(known, min(len(known), 100)):
                await world.call(tenant, "mads.grace.get_record", {"record_id": record})


async def test_only_the_home_tenant_moves_the_colony(tmp_path: Path) -> None:
    """Another tenant's operator, who may do everything with what is theirs, moves nothing that all share."""
    async with world_on(tmp_path / "data") as world:
        for name, arguments in HOME_ONLY.items():
            outcome = await world.call("rival", f"mads.grace.{name}", arguments)
            assert outcome.error is not None
            assert outcome.error.code == "tenant_bound", name
        outcome = await world.call("rival", "mads.turing.rotate_master_key", {})
        assert outcome.error is not None and outcome.error.code == "tenant_bound"
        for tenant in ("default", "third"):
            wanted = {"agent": "x", "role": "observer", "tenant": tenant}
            outcome = await world.call("rival", "mads.grace.create_token", wanted)
            assert outcome.error is not None
        made = await world.call(
            "default", "mads.grace.create_token", {"agent": "y", "role": "observer", "tenant": "third"}
        )
        assert world.colony.parts.ports.identities.authenticate(made.unwrap()["token"]).tenant == "third"


async def test_what_is_kept_by_name_is_kept_by_tenant(tmp_path: Path) -> None:
    """A secret and a conversation of the same name, a search for the same words, a price and a record each."""
    async with world_on(tmp_path / "data") as world:
        for tenant in TENANTS:
            value = f"{MARK[tenant]}-value-of-a-secret"
            await world.call(
                tenant, "mads.turing.set_secret", {"name": "key", "value": value, "readers": ["role:operator"]}
            )
            made = await world.call(tenant, "mads.rogers.create_conversation", {"name": "plans"})
            said = {"conversation": made.unwrap()["id"], "content": f"{MARK[tenant]} shared words"}
            await world.call(tenant, "mads.rogers.post_message", said)
        for tenant in TENANTS:
            kept = await world.call(tenant, "mads.turing.get_secret", {"name": "key"})
            assert kept.unwrap()["value"].startswith(MARK[tenant])
            found = await world.call(tenant, "mads.rogers.search", {"query": "shared words"})
            assert MARK[tenant] in found.json.decode()
            for identifier in list(world.ids):
                for tool, name in (("rogers.get_conversation", "conversation"), ("rogers.get_history", "conversation"),
                                   ("rogers.join", "conversation"), ("grace.get_record", "record_id"),
                                   ("grace.revoke_token", "token_id"), ("grace.rotate_token", "token_id")):  # fmt: skip
                    if tool.endswith("token") and identifier in own_tokens(world, tenant):
                        continue
                    await world.call(tenant, f"mads.{tool}", {name: identifier})


def own_tokens(world: World, tenant: str) -> set[str]:
    identities = world.colony.parts.ports.identities
    own = {one.name for one in identities.list_agents() if one.tenant == tenant}
    return {one.id for one in identities.list_tokens() if one.agent in own}


async def test_a_watch_hears_its_own_tenant_alone(tmp_path: Path) -> None:
    """Who watches a conversation of another tenant by its id is told that there is none."""
    async with world_on(tmp_path / "data") as world:
        made = await world.call("default", "mads.rogers.create_conversation", {"name": "zebra plans"})
        watched = {"conversation": made.unwrap()["id"], "seconds": 5}
        refused = await world.call("rival", "mads.rogers.watch_conversation", watched)
        assert refused.error is not None
        assert refused.error.family == "not_found"


async def test_a_token_of_another_tenant_is_like_one_that_was_made_up(tmp_path: Path) -> None:
    """Both have the same value: their tokens differ, each operator opens its own, and nothing tells the rest apart."""
    async with colony(tmp_path, mads=["grace"], dlp=RULES) as running:
        await running.parts.ports.host.add(Desk())
        tokens = ["<card:" + "a" * 32 + ">", "<card:not a token>"]
        for tenant in TENANTS:
            looker = Principal("looker", tenant, ("developer",), "agent")
            tokens.append(text_of(await running.call(looker, "mads.desk.look_up", {})).removeprefix("card "))
        assert len(set(tokens)) == 4
        for number, tenant in enumerate(TENANTS):
            boss = Principal("boss", tenant, ("operator",), "person")
            told = [await running.call(boss, "mads.grace.reveal", {"token": one, "reason": "r"}) for one in tokens]
            assert [one.status == "ok" for one in told] == [at == number + 2 for at in range(4)]
            refused = [one.error.to_wire() | {"record": ""} for one in told if one.error is not None]
            assert refused[0] == refused[1] == refused[2]


LOOKS: list[tuple[str, dict[str, Any]]] = [
    ("mads.grace.list_records", {"limit": 1000}),
    ("mads.grace.list_spans", {"limit": 1000}),
    ("mads.grace.list_agents", {}),
    ("mads.grace.list_tokens", {}),
    ("mads.grace.list_blocked", {}),
    ("mads.grace.list_flags", {}),
    ("mads.grace.list_kill_switches", {}),
    ("mads.grace.list_canaries", {}),
    ("mads.grace.list_circuits", {}),
    ("mads.grace.list_approvals", {"pending": False}),
    ("mads.grace.costs", {"days": 30}),
    ("mads.grace.status", {}),
    ("mads.rogers.list_conversations", {"limit": 100}),
    ("mads.rogers.search", {"query": "shared words"}),
    ("mads.turing.list_secrets", {}),
    ("mads.fiedler.usage", {}),
]


@settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(seed=st.integers(0, 2**32))
def test_no_tool_crosses_a_tenant(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Whatever both call, in whatever order, with each other's ids: no answer, error or list has the other's mark."""
    asyncio.run(random_calls(tmp_path_factory.mktemp("tenants") / "data", seed, 250))
