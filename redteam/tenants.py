"""Reaching into another tenant, and above one's own rights within a tenant.

The victim's things all carry one mark. Whatever an attacker is told must not hold it, nor the id of any of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from redteam.house import House, suite
from redteam.report import Report, Room
from redteam.target import REACHED

MARK = "heirloom"
_LISTS = (
    "mads.grace.list_approvals",
    "mads.grace.list_records",
    "mads.grace.list_agents",
    "mads.grace.list_tokens",
    "mads.grace.list_spans",
    "mads.grace.costs",
    "mads.grace.list_flags",
    "mads.grace.list_kill_switches",
    "mads.grace.list_dead_letters",
    "mads.grace.status",
    "mads.grace.list_pins",
    "mads.rogers.list_conversations",
    "mads.rogers.list_topics",
    "mads.rogers.list_mentions",
    "mads.turing.list_secrets",
)
_ANSWERED = ("list_", "search", "status", "costs")
_POWERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("mads.target.govern", {"text": "by force"}),
    ("mads.grace.create_token", {"agent": "mallory", "role": "operator"}),
    ("mads.grace.create_token", {"agent": "ada", "roles": ["operator"], "replace_roles": True}),
    ("mads.grace.set_flag", {"flag": "x", "percentage": 100, "reason": "x"}),
    ("mads.grace.throw_kill_switch", {"scope": "all", "reason": "x"}),
    ("mads.grace.pause_mad", {"mad": "target", "reason": "x"}),
    ("mads.grace.kill_mad", {"mad": "target", "reason": "x"}),
    ("mads.grace.list_records", {}),
    ("mads.grace.list_tokens", {}),
    ("mads.grace.drain_node", {"node": "main"}),
    ("mads.turing.rotate_master_key", {}),
    ("mads.grace.accept_tool", {"name": "x", "digest": "x"}),
)


async def _own(house: House) -> dict[str, str]:
    """What the tenant `default` has that others must not see: its ids by what they are."""
    made = await house.call("ada", "mads.rogers.create_conversation", name=f"{MARK} plans")
    conversation = str(made.value["id"])
    posted = await house.call(
        "ada", "mads.rogers.post_message", conversation=conversation, content=f"{MARK} in the safe"
    )
    assert posted.code == "ok", posted.text
    kept = await house.call("ada", "mads.turing.set_secret", name=f"{MARK}-key", value=f"{MARK} value of it")
    assert kept.code == "ok", kept.text
    parked = await house.call("ada", "mads.target.press", text=f"{MARK} press")
    records = (await house.call("pia", "mads.grace.list_records")).value
    tokens = (await house.call("pia", "mads.grace.list_tokens")).value["tokens"]
    return {
        "conversation": conversation,
        "approval": str(parked.details["approval_id"]),
        "record": str(records["records"][0]["id"]),
        "token": str(next(one for one in tokens if one["agent"] == "ada")["id"]),
        "secret": f"{MARK}-key",
    }


def _reads(ids: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Calls of another tenant that name the victim's things, or list what there is."""
    yield from ((name, {}) for name in _LISTS)
    talk, approval, record = ids["conversation"], ids["approval"], ids["record"]
    for verb in ("get_conversation", "get_history", "join", "watch_conversation", "leave"):
        yield f"mads.rogers.{verb}", {"conversation": talk}
    yield "mads.rogers.post_message", {"conversation": talk, "content": "let me in"}
    yield "mads.rogers.invite", {"conversation": talk, "agents": ["eve"]}
    yield "mads.rogers.search", {"query": MARK}
    yield "mads.rogers.get_history", {"conversation": f"{talk}' OR '1'='1"}
    for verb in ("show_approval", "approve", "deny", "revoke_approval", "get_parked", "cancel_parked"):
        yield f"mads.grace.{verb}", {"approval_id": approval}
    yield "mads.grace.get_record", {"record_id": record}
    yield "mads.grace.erase_payload", {"record_id": record, "reason": "x"}
    yield "mads.grace.revoke_token", {"token_id": ids["token"]}
    for agent in ("ada", "pia", "operator"):
        yield "mads.grace.create_token", {"agent": agent}
        yield "mads.grace.create_token", {"agent": agent, "roles": ["operator"], "replace_roles": True}
        yield "mads.grace.throw_kill_switch", {"scope": "agent", "name": agent, "reason": "x"}
        yield "mads.grace.list_tokens", {"agent": agent}
        yield "mads.grace.explain_policy", {"agent": agent, "name": "mads.target.say"}
    yield "mads.grace.throw_kill_switch", {"scope": "tenant", "name": "default", "reason": "x"}
    for verb in ("get_secret", "list_versions", "revoke_secret", "rotate_secret"):
        for name in (ids["secret"], f"default/{ids['secret']}", f"../default/{ids['secret']}"):
            yield f"mads.turing.{verb}", {"name": name, **({"new_value": "x" * 12} if verb == "rotate_secret" else {})}
    for agent in ("ada", "pia"):
        yield "mads.grace.list_records", {"agent": agent}
        yield "mads.grace.costs", {"agent": agent}


async def attack(house: House, room: Room) -> Report:
    """Eve and earl (operator) of another tenant read and act; then developers do what operators may."""
    report = Report()
    ids = await _own(house)
    seen = await house.call("ada", "mads.rogers.get_history", conversation=ids["conversation"])
    report.control("its own tenant does not see it", passed=MARK in seen.text)
    granted = await house.call("pia", "mads.target.govern", text="by right")
    report.control(f"an operator may not: {granted.code}", passed=granted.code == "ok")
    for who, (tool, arguments) in room.draw((who, one) for who in ("eve", "earl") for one in _reads(ids)):
        heard = await house.call(who, tool, **arguments)
        # What the attacker wrote itself comes back to it in messages.
        told = heard.text if MARK not in json.dumps(arguments) else json.dumps(heard.value)
        # Lists and searches are answered, with the asker's own; whatever names something of the victim's is refused.
        done = heard.code == "ok" and not tool.partition(".")[2].partition(".")[2].startswith(_ANSWERED)
        report.count(f"{who}: {tool} {arguments}: {heard.code}", stopped=not done and not _told(told, ids, arguments))
    for who, (tool, arguments) in room.draw((who, one) for who in ("ada", "eve") for one in _POWERS):
        heard = await house.call(who, tool, **arguments)
        report.count(f"{who} acts as an operator: {tool}: {heard.code}", stopped=heard.code not in ("ok", "http 0"))
    await _unharmed(house, ids, report)
    return report


def _told(text: str, ids: dict[str, str], arguments: dict[str, Any]) -> bool:
    # What it wrote itself may come back to it in messages.
    own = json.dumps(arguments)
    return MARK in text or any(one in text for one in ids.values() if one not in own)


async def _unharmed(house: House, ids: dict[str, str], report: Report) -> None:
    """Everything of the victim's is as it was."""
    calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("ada", "mads.rogers.get_history", {"conversation": ids["conversation"]}),
        ("ada", "mads.turing.get_secret", {"name": ids["secret"]}),
        ("pia", "mads.grace.get_record", {"record_id": ids["record"]}),
    )
    for who, tool, arguments in calls:
        heard = await house.call(who, tool, **arguments)
        report.count(f"afterwards, {tool}: {heard.code}", stopped=heard.code == "ok" and "let me in" not in heard.text)
    parked = await house.call("ada", "mads.grace.get_parked", approval_id=ids["approval"])
    report.count("afterwards, the approval", stopped=(parked.value or {}).get("state") == "pending")
    report.count("afterwards, what operators do", stopped="govern by force" not in REACHED)


play = suite(attack)
