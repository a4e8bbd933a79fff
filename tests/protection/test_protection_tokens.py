"""Tokens that stand for values: what they tell, who gets the values back, and that nobody else does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cenoby.access.principals import Principal
from cenoby.colony.invocation import Call, Invocation, Outcome
from cenoby.colony.mad import Mad
from cenoby.colony.tool import ToolContent, tool
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.settings_dlp import TokenKeeping
from cenoby.protection.dlp.scan import PERSONAL, Scanner
from cenoby.protection.dlp.token_store import TokenStore
from cenoby.protection.dlp.tokens import TOKEN, RestoredStream, open_value, restored, seal_value, token_of
from cenoby.store.database import Database
from cenoby.store.journal import JournalQuery
from tests.protection.test_protection_dlp_rules import colony, payloads_of

ADA = Principal("ada", "default", ("developer",), "agent")
OLA = Principal("ola", "default", ("operator",), "person")
EVE = Principal("eve", "rival", ("developer",), "agent")
ROB = Principal("rob", "rival", ("operator",), "person")
MAIL, CARD = "bob@example.com", "4111 1111 1111 1111"
KEY = bytes(range(32))
EVERYTHING = Scanner(secrets=True, personal=PERSONAL)
KINDS = sorted(
    {kind for group in PERSONAL.values() for detector in group for kind in detector.kinds} | {"secret", "jwt"}
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KINDS), st.text(max_size=40), st.text(max_size=8))
def test_a_token_is_stable_and_no_detector_takes_it_for_anything(kind: str, value: str, scope: str) -> None:
    """The same for the same, another for anything else; opened only where it was sealed; not itself a find."""
    token = token_of(KEY, kind, scope, value)
    assert TOKEN.fullmatch(token)
    assert token == token_of(KEY, kind, scope, value)
    others = {token_of(bytes(32), kind, scope, value), token_of(KEY, kind, scope + "x", value)}
    others |= {token_of(KEY, kind, scope, value + "x"), token_of(KEY, "email2", scope, value)}
    assert token not in others
    assert EVERYTHING.spans(f'{{"password": "{token}", "token": {token}}} phone: {token} api_key={token}') == []
    sealed = seal_value(KEY, "default", token, value)
    assert open_value(KEY, "default", token, sealed) == value
    assert open_value(KEY, "rival", token, sealed) is None
    assert open_value(bytes(32), "default", token, sealed) is None
    assert {open_value(KEY, "default", other, sealed) for other in others} == {None}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["<", ">", "a < b ", f"{MAIL} ", "word ", "T", "<email:", "T"]), max_size=12),
    st.lists(st.integers(1, 60), min_size=1, max_size=4),
)
def test_a_token_is_restored_wherever_it_is_cut(parts: list[str], sizes: list[int]) -> None:
    """Pieces add up to the restored whole, whatever stands around the tokens, or looks like the start of one."""
    token = token_of(KEY, "email", "", MAIL)
    text = "".join(token if part == "T" else part for part in parts)
    stream, out, position, turn = RestoredStream(lambda one: restored(one, {token: MAIL})), "", 0, 0
    while position < len(text):
        size = sizes[turn % len(sizes)]
        out += stream.add(text[position : position + size])
        position, turn = position + size, turn + 1
    assert out + stream.end() == restored(text, {token: MAIL})


async def test_values_expire_are_forgotten_and_stay_within_their_tenant(tmp_path: Path) -> None:
    """Sealed on disk; opened by their tenant until the day comes, or until their subject is forgotten."""
    clock = ManualClock()
    database = await Database.open(tmp_path / "colony.db", clock=clock)

    async def key(tenant: str) -> bytes:
        return tenant.encode().ljust(32, b".")

    store = TokenStore(database, clock, TokenKeeping(days=1), key)
    try:
        maker = await store.maker("default", "talk")
        first, second = maker("email", MAIL), maker("card", CARD)
        await store.keep("default", [maker.made[first]], made_by="ada", subject="bob")
        await store.keep("default", [maker.made[second]], made_by="ada")
        assert await store.open("default", [first, second, "<email:" + "a" * 32 + ">"]) == {first: MAIL, second: CARD}
        assert await store.open("rival", [first, second]) == {}
        assert (await store.maker("rival", "talk"))("email", MAIL) != first
        assert await store.forget("rival", "bob") == 0
        assert await store.forget("default", "bob") == 1
        assert await store.open("default", [first, second]) == {second: CARD}
        clock.advance(86_400.0)
        assert await store.open("default", [second]) == {}
        # Moved to another tenant in the database, it does not open there.
        await store.keep("default", [maker.made[second]], made_by="ada")
        await database.write(lambda connection: connection.execute("UPDATE pii_tokens SET tenant = 'rival'").rowcount)
        assert await store.open("rival", [second]) == {}
    finally:
        await database.close()
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("colony.db*"))
    assert MAIL.encode() not in kept
    assert CARD.encode() not in kept


class Desk(Mad):
    """Has a model that answers with the question, a till that may see cards, a shelf that may not, and a book."""

    name = "desk"

    def __init__(self) -> None:
        self.seen: list[str] = []

    @tool("model:call", effect="outside")
    async def ask(self, call: Call, prompt: str) -> ToolContent:
        """Answer with the question, as the caller hears it and at the end."""
        self.seen.append(prompt)
        stream = call.stream()
        for at in range(0, len(prompt), 7):
            await call.progress(at, None, stream.add(prompt[at : at + 7]))
        await call.progress(len(prompt), None, stream.end())
        return ToolContent([{"type": "text", "text": f"You asked: {prompt}"}])

    @tool("comms:internal", effect="writes", idempotent=False)
    async def pay(self, call: Call, number: str) -> ToolContent:
        """Take a number."""
        del call
        self.seen.append(number)
        return ToolContent([{"type": "text", "text": "paid"}])

    @tool("comms:internal", effect="writes", idempotent=False)
    async def shelve(self, call: Call, number: str) -> ToolContent:
        """Keep a number."""
        del call
        self.seen.append(number)
        return ToolContent([{"type": "text", "text": "kept"}])

    @tool("memory:read", effect="reads")
    async def look_up(self, call: Call) -> ToolContent:
        """Read a number."""
        del call
        return ToolContent([{"type": "text", "text": f"card {CARD}"}])


RULES: dict[str, Any] = {
    "rules": [
        {"types": ["email"], "action": "tokenise", "directions": ["model"]},
        {"types": ["card"], "action": "tokenise", "directions": ["out"], "destinations": ["mads.desk.*"]},
    ],
    "restore": [{"types": ["card"], "destinations": ["mads.desk.pay"]}],
}


class Ear:
    """A client that hears progress."""

    def __init__(self) -> None:
        self.heard = ""

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        self.heard += message or ""

    async def log(self, level: str, text: str) -> None: ...

    async def elicit(self, message: str, schema: Any) -> dict[str, Any]:
        return {}

    async def sample(self, request: Any) -> dict[str, Any]:
        return {}


def text_of(outcome: Outcome) -> str:
    assert outcome.status == "ok", outcome.error
    assert outcome.blocks is not None
    return outcome.blocks[0]["text"]


async def test_a_model_gets_tokens_and_its_answer_the_values(tmp_path: Path) -> None:
    """Provider and journal see a token, the same each time; the caller hears the address, streamed and whole."""
    async with colony(tmp_path, mads=[], dlp=RULES) as running:
        desk, ear = Desk(), Ear()
        await running.parts.ports.host.add(desk)
        prompt = f"{'Write a letter. ' * 30}It goes to {MAIL} today. {'Be kind. ' * 30}"
        answer = await running.parts.pipeline.run(Invocation("mads.desk.ask", {"prompt": prompt}, ADA, client=ear))
        again = await running.call(ADA, "mads.desk.ask", {"prompt": f"to {MAIL}"})
        assert text_of(answer) == f"You asked: {prompt}"
        assert json.loads(answer.json)[0]["text"] == f"You asked: {prompt}"
        assert ear.heard == prompt
        assert text_of(again) == f"You asked: to {MAIL}"
        tokens = [TOKEN.findall(seen) for seen in desk.seen]
        assert len(tokens[0]) == 1
        assert tokens[0] == tokens[1]
        told = json.dumps(await payloads_of(running))
        assert MAIL not in told
        assert tokens[0][0] in told
        # Whoever only knows the token is not told the value.
        assert text_of(await running.call(ADA, "mads.desk.ask", {"prompt": tokens[0][0]})).endswith(tokens[0][0])


async def test_a_value_comes_back_only_where_the_settings_say(tmp_path: Path) -> None:
    """A result has a token; the till gets the number for it, the shelf and another tenant's till do not; a person who
    says why is told, the journal has that first, and for anybody else the token is like one that was made up."""
    async with colony(tmp_path, mads=["grace"], dlp=RULES) as running:
        desk = Desk()
        await running.parts.ports.host.add(desk)
        token = text_of(await running.call(ADA, "mads.desk.look_up", {})).removeprefix("card ")
        assert TOKEN.fullmatch(token)
        assert text_of(await running.call(ADA, "mads.desk.pay", {"number": f"{token}"})) == "paid"
        assert text_of(await running.call(ADA, "mads.desk.shelve", {"number": token})) == "kept"
        assert text_of(await running.call(EVE, "mads.desk.pay", {"number": token})) == "paid"
        assert desk.seen == [CARD, token, token]
        told = await running.call(OLA, "mads.grace.reveal", {"token": token, "reason": "the bank asks"})
        assert told.value == {"token": token, "value": CARD}
        made_up = f"<card:{'a' * 32}>"
        refusals = [
            (await running.call(who, "mads.grace.reveal", {"token": one, "reason": "r"})).error
            for who, one in ((ROB, token), (ROB, made_up), (OLA, made_up))
        ]
        shown = [error.to_wire() | {"record": ""} for error in refusals if error is not None]
        assert len(shown) == 3
        assert shown[0] == shown[1] == shown[2]
        denied = await running.call(ADA, "mads.grace.reveal", {"token": token, "reason": "r"})
        assert denied.error is not None
        assert denied.error.code == "action_not_allowed"
        page = await running.parts.ports.journal.page(JournalQuery(code="pii_revealed", kind="event"))
        assert [(one.tenant, one.agent) for one in page.records if one.tenant == "default"][-1] == ("default", "ola")
        assert CARD not in json.dumps(await payloads_of(running))


async def test_a_token_of_a_conversation_is_another_in_the_next(tmp_path: Path) -> None:
    """Where the settings say so, nobody sees by the tokens that two conversations have the same address."""
    rules = {
        "rules": [{"types": ["email"], "action": "tokenise", "directions": ["model"]}],
        "tokens": {"per": "conversation"},
    }
    async with colony(tmp_path, mads=[], dlp=rules) as running:
        desk = Desk()
        await running.parts.ports.host.add(desk)
        for talk in ("first", "first", "second"):
            call = Invocation("mads.desk.ask", {"prompt": f"to {MAIL}"}, ADA, conversation=talk)
            assert text_of(await running.parts.pipeline.run(call)) == f"You asked: to {MAIL}"
        assert desk.seen[0] == desk.seen[1] != desk.seen[2]
