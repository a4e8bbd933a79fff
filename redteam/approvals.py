"""Approvals that nobody gave: two decisions at once, one's own, another's, other arguments, and a second use.

What counts is how often the tool ran: `REACHED` says it, whatever anybody was answered.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from redteam import wire
from redteam.house import House, suite, until
from redteam.report import Report, Room
from redteam.target import REACHED

_PRESS, _APPROVE, _DENY = "mads.target.press", "mads.grace.approve", "mads.grace.deny"
_OPEN = ("pending", "approved", "running")
_ROUNDS = 6
Case = Callable[[House, Report, str], Awaitable[None]]


async def _parked(house: House, text: str, who: str = "ada", **more: Any) -> str:
    heard = await house.call(who, _PRESS, text=text, **more)
    assert heard.code == "approval_pending", heard.text
    return str(heard.details["approval_id"])


async def _ended(house: House, approval: str, who: str = "ada") -> str:
    """What became of a parked call, once that is certain."""
    state = ""

    async def over() -> bool:
        nonlocal state
        state = (await house.call(who, "mads.grace.get_parked", approval_id=approval)).value["state"]
        return state not in _OPEN

    assert await until(over), state
    return state


def _ran(text: str) -> int:
    return REACHED.count(text)


async def _approved(house: House, text: str) -> str:
    """A call of ada's that pia approved and that ran."""
    approval = await _parked(house, text)
    heard = await house.call("pia", _APPROVE, approval_id=approval)
    assert heard.code == "ok", heard.text
    await _ended(house, approval)
    return approval


async def two_at_once(house: House, report: Report, text: str) -> None:
    """Two people decide at the same moment, each in another way: one of them wins, and the call runs accordingly."""
    approval = await _parked(house, text)
    decisions = [("pia", _APPROVE), ("ola", _DENY), ("pia", _DENY), ("ola", _APPROVE)]
    heard = await asyncio.gather(*(house.call(who, how, approval_id=approval) for who, how in decisions))
    won = [how for (_, how), one in zip(decisions, heard, strict=True) if one.code == "ok"]
    await _ended(house, approval)
    right = len(won) == 1 and _ran(text) == (won == [_APPROVE])
    report.count(f"two decide at once: {[one.code for one in heard]}, ran {_ran(text)}", stopped=right)


async def afterwards(house: House, report: Report, text: str) -> None:
    """A denied call is approved after all; an approved one is approved again."""
    for how in (_DENY, _APPROVE):
        approval = await _parked(house, text + how)
        await house.call("pia", how, approval_id=approval)
        again = await house.call("ola", _APPROVE, approval_id=approval)
        await _ended(house, approval)
        right = again.code != "ok" and _ran(text + how) == (how == _APPROVE)
        report.count(f"a second decision: {again.code}", stopped=right)


async def ones_own(house: House, report: Report, text: str) -> None:
    """An operator approves what it asked for itself: by the same token, by another one, and by the webhook."""
    approval = await _parked(house, text, "otto")
    _, second = await house.new_token("otto")
    heard = [await house.call(token, _APPROVE, approval_id=approval) for token in ("otto", second)]
    made = await house.call("otto", "mads.grace.create_token", agent="otto", kind="person")
    heard.append(await house.call((made.value or {}).get("token", "x"), _APPROVE, approval_id=approval))
    heard.append(await _hook(house, approval, house.tokens["otto"]))
    for one in heard:
        report.count(f"approves its own: {one.code}", stopped=one.code != "ok" and not _ran(text))


async def strangers(house: House, report: Report, text: str) -> None:
    """Who may not decide does: developers, another tenant's operator, nobody."""
    approval = await _parked(house, text)
    for who in ("ada", "bob", "eve", "earl", "nobody"):
        for heard in (
            await house.call(who, _APPROVE, approval_id=approval, scope="time", minutes=60, any_arguments=True),
            await _hook(house, approval, house.tokens.get(who, "")),
        ):
            report.count(f"{who} approves: {heard.status} {heard.code}", stopped=heard.code != "ok" and not _ran(text))
    for who in ("bob", "eve", "earl"):
        for tool in ("get_parked", "cancel_parked", "show_approval"):
            heard = await house.call(who, f"mads.grace.{tool}", approval_id=approval)
            report.count(f"{who}: {tool}: {heard.code}", stopped=heard.code != "ok" and text not in heard.text)


async def other_arguments(house: House, report: Report, text: str) -> None:
    """After an approval for one text, calls with another one: it must be asked for each of them."""
    approval = await _parked(house, text)
    variants: list[dict[str, Any]] = [
        {"text": f"{text} "}, {"text": text.upper()}, {"text": f"{text}\n"}, {"text": text.replace("a", "а")},
        {"text": f"{text}é"}, {"text": text, "times": 2}, {"text": "rm everything"},
    ]  # fmt: skip
    await house.call("pia", _APPROVE, approval_id=approval)
    heard = await asyncio.gather(*(house.call("ada", _PRESS, **one) for one in variants))
    for one, answer in zip(variants, heard, strict=True):
        report.count(f"other arguments {one}: {answer.code}", stopped=answer.code == "approval_pending")
    await _ended(house, approval)
    report.count(f"other arguments, ran {_ran(text)}", stopped=_ran(text) == 1 and "rm everything" not in REACHED)


async def again(house: House, report: Report, text: str) -> None:
    """An approval is used many times at once, and again after it was used."""
    approval = await _parked(house, text)
    await house.call("pia", _APPROVE, approval_id=approval)
    await asyncio.gather(*(house.call("ada", _PRESS, text=text) for _ in range(8)))
    await _ended(house, approval)
    report.count(f"eight at once: ran {_ran(text)}", stopped=_ran(text) == 1)
    for _ in range(3):
        await house.call("ada", _PRESS, text=text)
    report.count(f"and again: ran {_ran(text)}", stopped=_ran(text) == 1)


async def anothers(house: House, report: Report, text: str) -> None:
    """Another agent makes the call that ada's approval was for."""
    await _approved(house, text)
    for who in ("bob", "eve", "otto"):
        heard = await house.call(who, _PRESS, text=text)
        report.count(f"{who} uses it: {heard.code}", stopped=heard.code != "ok" and _ran(text) == 1)


async def revoked(house: House, report: Report, text: str) -> None:
    """The token that asked is revoked before the approval comes."""
    token_id, token = await house.new_token("ada")
    approval = await _parked(house, text, token)
    await house.call("pia", "mads.grace.revoke_token", token_id=token_id)
    await house.call("pia", _APPROVE, approval_id=approval)

    async def over() -> bool:
        shown = await house.call("pia", "mads.grace.show_approval", approval_id=approval)
        return bool(shown.value["outcome"])

    report.control("the parked call of a revoked token did not end", passed=await until(over))
    report.count(f"a revoked token's: ran {_ran(text)}", stopped=not _ran(text))


CASES: tuple[Case, ...] = (two_at_once, afterwards, ones_own, strangers, other_arguments, again, anothers, revoked)


async def _hook(house: House, approval: str, token: str) -> wire.Heard:
    body = json.dumps({"decision": "approve", "reason": "x"}).encode()
    heard = await wire.send(house.port, wire.written(body, token, "", path=f"/approvals/{approval}"))
    # It answers with the request itself, so that 200 is what `ok` is elsewhere.
    return wire.Heard(b'HTTP/1.1 200 OK\r\n\r\n{"result": {"a": 1}}') if heard.status == 200 else heard


async def attack(house: House, room: Room) -> Report:
    """Play every case some times, in an order that chance decides."""
    report = Report()
    await _approved(house, "an innocent call")
    report.control("an approved call did not run", passed=_ran("an innocent call") == 1)
    for number, case in enumerate(room.draw(CASES * _ROUNDS)):
        await case(house, report, f"approval-attack-{number}")
    return report


play = suite(attack)
