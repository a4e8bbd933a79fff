"""Secrets that renew themselves, and the glass that two people break, in a real colony through the real pipeline."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.cli.demo_servers import HttpRequest, LocalServer
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings_file import load_settings
from cenoby.store.journal import JournalQuery
from tests.stores import everything_in

ADA = Principal("ada", "default", ("developer", "responder"), "agent")
BOT = Principal("bot", "default", ("operator",), "agent")
OLA = Principal("ola", "default", ("operator",), "person")
PIA = Principal("pia", "default", ("operator",), "person")
COURIER = f"{Path(__file__).parent / 'courier_mad.py'}:Courier"


def settings(folder: Path, **more: Any) -> Any:
    overrides = {"data": folder / "data", "mads": ["turing", "grace", COURIER], "telemetry": {"log_level": "error"}}
    return load_settings(environment={}, overrides=overrides | more)


async def said(colony: Colony, who: Principal, tool: str, **arguments: Any) -> Any:
    outcome = await colony.call(who, tool, arguments)
    return outcome.value if outcome.error is None else outcome.error.to_wire()


async def codes(colony: Colony, code: str) -> list[dict[str, Any]]:
    journal = colony.parts.ports.journal
    page = await journal.page(JournalQuery(code=code, newest_first=False))
    records = [await journal.get(one.id) for one in page.records]
    return [one.payload for one in records if one is not None]


async def until(done: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(120):
        while not (found := await done()):  # noqa: ASYNC110 - it can only be looked at
            await asyncio.sleep(0.1)
    return found


async def test_a_secret_is_renewed_as_the_settings_say(tmp_path: Path) -> None:
    """By chance from an alphabet, by a tool, by a task in a cell, now and when it is due; what fails leaves the value
    as it is, is on record, and of its words nothing is told. The value before is destroyed when its grace is over."""
    soon = {"every_hours": 1 / 36_000, "grace_minutes": 0}
    rotations = {
        "digits": {"alphabet": "0123456789", "length": 20},
        "tool": {"by": "tool", "tool": "mads.courier.mint", "field": "body"},
        "task": {"by": "task", "task": "tests.mads.key_task:make_key"},
        "open": {"by": "tool", "tool": "mads.courier.blab", "field": "body"},
        "none": {"by": "tool", "tool": "mads.courier.mint", "field": "nothing"},
        "words": {"by": "task", "task": "tests.mads.key_task:tell_it_all"} | soon,
        "often": {"alphabet": "abcdefghij"} | soon,
    }
    named = {name: {"rotation": rotation} for name, rotation in rotations.items()}
    secrets = {"named": named, "look_seconds": 0.1, "retry_seconds": 0.2}
    async with open_colony(settings(tmp_path, secrets=secrets), SystemClock()) as colony:
        for name in rotations:
            await said(colony, ADA, "mads.turing.set_secret", name=name, value="value-of-a-person")

        async def renewed(name: str) -> Any:
            told = await said(colony, ADA, "mads.turing.rotate_secret", name=name)
            assert "value" not in told
            value = (await said(colony, ADA, "mads.turing.get_secret", name=name))["value"]
            return value if "code" not in told else (told["code"], value)

        digits = await renewed("digits")
        assert (len(digits), digits.isdigit()) == (20, True)
        assert await renewed("tool") == "minted-by-a-tool"
        assert (await renewed("task")).startswith("made-in-a-cell-")
        for name in ("open", "none", "words"):
            assert await renewed(name) == ("secret_not_renewed", "value-of-a-person")
        failures = await until(lambda: codes(colony, "secret_renewal_failed"))
        assert {one["name"] for one in failures} == {"words"}

        async def destroyed() -> bool:
            versions = (await said(colony, ADA, "mads.turing.list_versions", name="often"))["versions"]
            return versions[-1]["revoked_by"] == "colony"

        await until(destroyed)
        kept = await colony.parts.database.read(everything_in)
    assert "lost-in-an-error" not in kept
    assert "minted-by-a-tool" not in kept
    assert "value-of-a-person" not in kept


class Board(LocalServer):
    """Takes the news of approvals."""

    async def serve(self, request: HttpRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    def kinds(self) -> list[str]:
        return [json.loads(one.body)["kind"] for one in self.requests]


async def test_two_people_break_the_glass_for_one_read(tmp_path: Path) -> None:
    """What a policy gives to nobody is told once, when two people besides the caller agreed, whatever the settings say
    of approvals: not to the caller alone, not with one of them twice, nor with an agent; and what they said of more
    calls than this one does not count."""
    async with Board() as board:
        approvals = {
            "four_eyes_from": "never",
            "webhook": {"url": f"http://{board.address}/", "secret": "hook"},
        }
        more: dict[str, Any] = {"approvals": approvals, "egress": {"allow": [board.address]}}
        more["roles"] = {"responder": ["secret:break-glass"]}
        async with open_colony(settings(tmp_path, **more), SystemClock()) as colony:
            await said(colony, OLA, "mads.turing.set_secret", name="hook", value="h" * 20, colony_only=True)
            await said(colony, OLA, "mads.turing.set_secret", name="vital", value="plain-and-vital", permits=[])
            assert (await said(colony, ADA, "mads.turing.get_secret", name="vital"))["code"] == "secret_policy"
            wish = {"name": "vital", "reason": "the site is down, and only this key opens it"}
            parked = await said(colony, ADA, "mads.turing.break_glass", **wish)
            assert parked["code"] == "approval_pending"
            number = parked["details"]["approval_id"]
            scope = {"approval_id": number, "scope": "time", "minutes": 60}
            for who, code in ((ADA, "action_not_allowed"), (BOT, "approver_not_person")):
                assert (await said(colony, who, "mads.grace.approve", **scope))["code"] == code
            assert (await said(colony, OLA, "mads.grace.approve", **scope))["status"] == "pending"
            assert (await said(colony, OLA, "mads.grace.approve", **scope))["code"] == "approval_seconded"
            assert await codes(colony, "glass_broken") == []
            assert (await said(colony, PIA, "mads.grace.approve", **scope))["status"] == "approved"

            async def result() -> Any:
                return (await said(colony, ADA, "mads.grace.get_parked", approval_id=number))["result"]

            told = await until(result)
            assert told["value"] == "plain-and-vital"
            over = await said(colony, ADA, "mads.turing.renew_lease", lease_id=told["lease"]["lease_id"])
            assert over["code"] == "secret_lease_over"
            assert (await said(colony, ADA, "mads.turing.get_secret", name="vital"))["code"] == "secret_policy"
            again = await said(colony, ADA, "mads.turing.break_glass", **wish)
            assert (again["code"], again["details"]["approval_id"] == number) == ("approval_pending", False)
            (broken,) = await codes(colony, "glass_broken")
            assert (broken["name"], broken["agent"], broken["notes"]) == ("vital", "ada", wish["reason"])
            wanted = {"parked", "seconded", "approved"}

            async def heard() -> bool:
                return wanted <= set(board.kinds())

            await until(heard)
            assert "plain-and-vital" not in await colony.parts.database.read(everything_in)
