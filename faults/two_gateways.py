"""Two gateways of one colony at work at once: money, approvals, kill switches and revocations hold across them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any

from cenoby.cli.colony_client import ColonyClient
from cenoby.kernel.errors import CenobyError
from faults.outcome import Outcome
from faults.process_cases import broker
from faults.stage import TALLY, Room, chain_problem, colonies_of, enter
from tests.conftest import RunningColony

PRICE_USD, BOUGHT = 0.0001, 100
"""What a purchase costs, and how many of them the budget covers."""
LEAST_BOUGHT = 80
"""What one process holds of a budget when the other one asks is not lost, but comes back only after some seconds."""
SIGNED = 8
_HOLDS_SECONDS = 20.0
_REPEATED = 10


async def two_gateways(room: Room) -> Outcome:
    """No fault: one agent at both, beyond its budget; two people who decide the same; a switch; a revocation."""
    async with AsyncExitStack() as stack:
        server = await enter(stack, broker(room, "nats"))
        colonies = colonies_of(room, server.url)
        colonies.settings += (
            f"budgets: {{agents: {{ada: {PRICE_USD * BOUGHT:g}}}}}\napprovals: {{require: ['memory:write']}}\n"
            f"vault: {{file: {room.folder / 'one' / 'master.key'}}}\n"
        )
        mads = f"grace, '{TALLY}'"
        one = await enter(stack, colonies.gateway(mads, name="one"))
        (room.folder / "two").mkdir(mode=0o700)
        (room.folder / "two" / "admin.token").write_text(one.operator_token)
        two = await enter(stack, colonies.gateway(mads, name="two"))
        token = await asyncio.to_thread(one.token, "ada", "developer")
        person = await asyncio.to_thread(_person, ColonyClient(one.url, one.operator_token))
        heard: Counter[str] = Counter()
        problems = [
            *await _buys(one, two, token, heard),
            *await _signs(one, two, token, person, heard),
            *await asyncio.to_thread(_stops, one, two, token, heard),
            *[await chain_problem(one)],
        ]
        found = Counter(int(line) for line in _lines(room))
    told = Counter(dict.fromkeys(found, 1))
    return Outcome(
        offered=heard.total(),
        acknowledged=heard[""],
        duplicated=(found - told).total(),
        refused=Counter({code: times for code, times in heard.items() if code}),
        problem="; ".join(filter(None, problems)),
    )


def _lines(room: Room) -> Iterable[str]:
    files = {file.resolve() for file in room.folder.rglob("mads/tally/numbers.txt")}
    return [line for file in files for line in file.read_text().splitlines()]


def _person(client: ColonyClient) -> str:
    wanted = {"agent": "pia", "role": "operator", "kind": "person"}
    return str(client.call("mads.grace.create_token", wanted)["token"])


def _code(client: ColonyClient, tool: str, arguments: dict[str, Any]) -> str:
    try:
        client.call(tool, arguments)
    except CenobyError as error:
        return error.code
    return ""


async def _buys(one: RunningColony, two: RunningColony, token: str, heard: Counter[str]) -> list[str]:
    def buy(colony: RunningColony, numbers: range) -> Counter[str]:
        client = ColonyClient(colony.url, token)
        return Counter(_code(client, "mads.tally.buy", {"number": number}) for number in numbers)

    said = await asyncio.gather(
        *(
            asyncio.to_thread(buy, colony, range(begin, begin + BOUGHT // 2))
            for colony, begin in ((one, 0), (two, 1000), (one, 2000), (two, 3000))
        )
    )
    total = sum(said, Counter[str]())
    heard.update(total)
    costs = await asyncio.to_thread(
        ColonyClient(one.url, one.operator_token).call, "mads.grace.costs", {"agent": "ada"}
    )
    spent = sum(day["spent_usd"] + day["held_usd"] for day in costs["costs"])
    return [
        f"{total[''] - BOUGHT} purchases above the budget" if total[""] > BOUGHT else "",
        f"only {total['']} of {BOUGHT} purchases were let through" if total[""] < LEAST_BOUGHT else "",
        f"answered {dict(total)}" if set(total) - {"", "budget_exhausted"} else "",
        "the ledger is above the budget" if spent > PRICE_USD * BOUGHT + 1e-9 else "",
    ]


async def _signs(one: RunningColony, two: RunningColony, token: str, person: str, heard: Counter[str]) -> list[str]:
    """Calls that are parked, and decided at both gateways at the same moment, once yes and once no."""
    numbers = range(5000, 5000 + SIGNED)

    def park(number: int) -> str:
        try:
            ColonyClient(one.url, token).call("mads.tally.sign", {"number": number})
        except CenobyError as error:
            return str(error.details["approval_id"])
        return ""

    waiting = {number: await asyncio.to_thread(park, number) for number in numbers}
    problems: list[str] = []
    for number, approval in waiting.items():
        yes, no = await asyncio.gather(
            asyncio.to_thread(_code, ColonyClient(one.url, person), "mads.grace.approve", {"approval_id": approval}),
            asyncio.to_thread(
                _code, ColonyClient(two.url, two.operator_token), "mads.grace.deny", {"approval_id": approval}
            ),
        )
        if sorted((yes, no)) != ["", "approval_decided"]:
            problems.append(f"two decisions on one request came to {yes!r} and {no!r}")
        state = await asyncio.to_thread(_state, ColonyClient(two.url, token), approval)
        if state != ("ok" if yes == "" else "denied"):
            problems.append(f"the call {number} was decided with {(yes, no)} and ended as {state!r}")
        heard[state.replace("ok", "")] += 1
    return problems


def _state(client: ColonyClient, approval: str) -> str:
    deadline = time.monotonic() + _HOLDS_SECONDS
    while True:
        state = str(client.call("mads.grace.get_parked", {"approval_id": approval})["state"])
        if state not in ("pending", "approved", "running") or time.monotonic() > deadline:
            return state
        time.sleep(0.05)


def _stops(one: RunningColony, two: RunningColony, token: str, heard: Counter[str]) -> list[str]:
    """A switch that is thrown at one, and a token that is revoked there: how the other one answers."""
    operator, caller = ColonyClient(one.url, one.operator_token), ColonyClient(two.url, token)
    numbers = iter(range(9000, 10_000_000))

    def call() -> str:
        code = _code(caller, "mads.tally.write_once", {"number": next(numbers)})
        heard[code] += 1
        return code

    switch = {"scope": "tool", "name": "mads.tally.write_once"}
    problems = ["" if call() == "" else "a call was refused before anything was stopped"]
    operator.call("mads.grace.throw_kill_switch", {**switch, "reason": "the rehearsal"})
    problems.append(_comes_to("killed", call))
    operator.call("mads.grace.lift_kill_switch", switch)
    problems.append(_comes_to("", call))
    listed = operator.call("mads.grace.list_tokens", {"agent": "ada"})["tokens"]
    operator.call("mads.grace.revoke_token", {"token_id": listed[0].get("id") or listed[0]["token_id"]})
    return [*problems, _comes_to("token_revoked", call)]


def _comes_to(code: str, call: Callable[[], str]) -> str:
    """Whether calls come to this soon, and stay there."""
    deadline = time.monotonic() + _HOLDS_SECONDS
    while (last := call()) != code:
        if time.monotonic() > deadline:
            return f"calls came to {last!r}, and should have come to {code!r}"
    later = {call() for _ in range(_REPEATED)}
    return "" if later == {code} else f"calls came to {later} after {code!r}"
