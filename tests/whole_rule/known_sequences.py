"""Sequences that are always played: each kind of change beside calls that it decides on, and what was found once."""

from __future__ import annotations

from typing import Any

from tests.whole_rule.steps import Alter, Decide, LetGo, Race, Release, Reload, Restart, Step, Wait, Work

YES = ("once", 0, False)


def work(who: str, verb: str, **more: Any) -> Work:
    """A plain call; `more` as in `Work`."""
    plain: dict[str, Any] = {"token": 0, "key": "a", "end": "answer", "amount": 3, "spend": 1, "conversation": ""}
    return Work(who=who, tool=f"mads.yard.{verb}", **{**plain, **more})


def yes(by: str, scope: tuple[str, int, bool] = YES) -> Decide:
    return Decide(0, by, yes=True, scope=scope)


NOTE, SEND, LIFT = work("kid", "note"), work("ada", "send"), Alter("lift", "pia", "kid", 0)
KILL_NOTE, KILL_YARD, KILL_TENANT, KILL_ALL = (Alter("kill", "ola", "kid", number) for number in (12, 6, 3, 4))
REVOKE = Alter("revoke", "ola", "kid", 0)
TOKEN_FOR_AN_HOUR, OBSERVER = Alter("token", "ola", "kid", 4), Alter("token", "ola", "kid", 6)
HELD = [work("ola", "look", held=True), NOTE]
"""A call that holds its MAD, and one that was let in and waits for its turn."""

KNOWN: dict[str, list[Step]] = {
    "tokens and roles": [
        NOTE, Alter("rotate", "ola", "ada", 0), work("ada", "look", token=1), work("ada", "look"),
        TOKEN_FOR_AN_HOUR, NOTE, Wait(65),
        NOTE, work("kid", "look", token=1), OBSERVER, work("kid", "look"), work("kid", "look", token=2),
        work("eve", "look"), Alter("revoke", "boss", "eve", 0), work("eve", "look"), Restart(), work("eve", "look"),
        work("bob", "note", held=True), Alter("revoke", "ola", "bob", 0), Release(),
    ],
    "kill switches": [
        KILL_NOTE, NOTE, work("kid", "look"), LIFT, NOTE, KILL_YARD, work("kid", "look"), Restart(), NOTE, LIFT,
        Alter("kill", "ola", "kid", 0), NOTE, LIFT, KILL_TENANT, NOTE, LIFT, KILL_ALL, NOTE, work("eve", "look"), LIFT,
        Alter("kill", "boss", "eve", 12), work("eve", "note"), NOTE, Alter("kill", "ada", "kid", 12), NOTE,
        work("kid", "note", held=True), work("bob", "note"), KILL_NOTE, Release(), LIFT, NOTE,
    ],
    "levels and tiers": [
        Reload("tiers", 1), NOTE, Reload("tiers", 0), NOTE, Alter("level", "ola", "ada", 1), work("ada", "look"),
        Alter("level", "ada", "kid", 15), Alter("level", "ola", "ada", 16), work("ada", "look"),
        Alter("level", "boss", "eve", 3), work("eve", "look"), work("eve", "note"), Restart(), work("eve", "note"),
    ],
    "approvals": [
        SEND, SEND, yes("ada"), yes("boss"), yes("pia"), SEND, SEND, work("ada", "send", key="b"), yes("pia"),
        Decide(1, "pia", yes=False, scope=YES), SEND, LetGo(0, cancels=True), yes("ola"),
        work("ola", "send"), yes("ola"), yes("pia"), Restart(), work("ola", "send"), work("ola", "send"),
        work("eve", "wipe"), yes("boss"), yes("boss"), work("eve", "wipe"), yes("chief"), work("eve", "wipe"),
    ],
    "approvals for more": [
        SEND, yes("pia", ("time", 90, False)), SEND, SEND, work("ada", "send", key="b"),
        yes("pia", ("time", 90, True)), work("ada", "send", key="b"), work("ada", "send", key="c"), Wait(30), SEND,
        LetGo(0, cancels=False), work("ada", "send", key="c"), Wait(65), SEND, SEND,
        work("bob", "send", conversation="talk"), yes("ola", ("conversation", 90, True)),
        work("bob", "send", key="b", conversation="talk"), work("bob", "send", key="b"),
    ],
    "runs that fall to the rule of then": [
        SEND, Alter("token", "ola", "ada", 3), yes("pia"), work("bob", "send"), Alter("revoke", "ola", "bob", 0),
        yes("pia"), work("kid", "send"), KILL_YARD, LIFT, work("ola", "look", held=True), yes("pia"), KILL_YARD,
        Release(), LIFT, work("kid", "send"),
    ],
    "time": [
        Reload("policies", 4), NOTE, Wait(65), NOTE, NOTE, Reload("tiers", 4), work("bob", "note"), Wait(245),
        Wait(245), work("bob", "note"), Reload("policies", 5), work("ada", "note"), Wait(245), work("ada", "note"),
    ],
    "limits": [
        *[work("ada", "buy", amount=150, spend=None)] * 2, work("ada", "buy", amount=150), Restart(),
        work("ada", "buy", amount=150), work("ada", "buy", amount=50, spend=40),
        work("bob", "buy", amount=150, held=True),
        *[work("bob", "buy", amount=150, spend=0)] * 2, Release(), work("bob", "buy", amount=150, end="crash"),
        *[NOTE] * 10, Restart(), NOTE, Wait(1500), NOTE, work("ada", "buy", amount=150),
    ],
    "files": [
        Reload("broken policies", 2), NOTE, work("ada", "look"), Reload("policies", 1), work("ada", "look"), SEND,
        Reload("broken tiers", 0), Reload("policies", 0), work("ada", "wipe"), Reload("tiers", 0), work("ada", "wipe"),
        Reload("policies", 7), work("ada", "buy", amount=1), work("ada", "buy", amount=0), work("ada", "look"),
        work("kid", "note", key="../../etc/passwd"), Reload("policies", 3), work("eve", "look"), Restart(),
        work("eve", "look"), work("ada", "buy", amount=3),
    ],
    "all at once": [
        Race((NOTE, SEND, SEND, work("eve", "note")), KILL_NOTE), LIFT, Race((SEND, SEND, NOTE), yes("pia")),
        Race((NOTE, NOTE, work("bob", "buy", amount=150)), REVOKE), Race((SEND, SEND), Reload("policies", 2)),
    ],
    # In each of these the rule of a moment that was over decided, until that was mended.
    "a policy denies a call that waits for its turn": [
        Wait(245), Wait(245), Wait(245), *HELD, Reload("policies", 5), Release()
    ],
    "a level asks for a call that waits for its turn": [*HELD, Alter("level", "ola", "kid", 0), Release()],
    "a tier asks for a call that waits for its turn": [
        Alter("level", "ola", "kid", 6), *HELD, Reload("tiers", 1), Release()
    ],
    "a token is revoked while its call waits": [*HELD, REVOKE, Release()],
    "roles are taken while a call waits": [work("ola", "look", held=True), NOTE, OBSERVER, Release()],
    "time says yes to what has become dangerous since": [
        Reload("tiers", 2), SEND, Reload("tiers", 0), Wait(65), SEND
    ],
    "what a limit refused is not counted after a restart": [
        *[work("eve", "note")] * 69, Restart(), work("eve", "look")
    ],
    "an approval of one for what needs two by now": [SEND, Reload("tiers", 3), yes("pia"), SEND],
}  # fmt: skip
