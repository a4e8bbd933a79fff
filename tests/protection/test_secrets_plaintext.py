"""Plaintext nowhere: random secrets go through every path, and then nothing that was written holds one of them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import random
import string
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from cenoby.cli.colony_client import ColonyClient
from cenoby.cli.demo_servers import HttpRequest, LocalServer, Mishap, ScriptedModelServer
from cenoby.kernel.errors import CenobyError
from tests.conftest import RunningColony

ALPHABETS = (
    string.ascii_letters + string.digits,
    string.ascii_letters + string.digits + "-_.~",
    string.punctuation + string.ascii_letters,
    "äöüßéλж€" + string.ascii_letters,
    string.ascii_letters + " \t\n",
    "0123456789abcdef",
)


def random_value(chance: random.Random, *, header: bool = False) -> str:
    """A value that turns up nowhere by accident; `header`: one that a request can carry."""
    alphabet = chance.choice(ALPHABETS[:2] if header else ALPHABETS)
    return "".join(chance.choice(alphabet) for _ in range(chance.randint(20, 60))).strip() + "Zq"


def forms(value: str) -> Iterator[bytes]:
    """How it might have been written: plainly, in JSON, in a URL, hexadecimal, and as base64 at any offset."""
    plain = value.encode()
    yield plain
    yield json.dumps(value)[1:-1].encode()
    yield repr(value)[1:-1].encode()
    yield from (quote(value, safe="").encode(), quote_plus(value).encode())
    yield binascii.hexlify(plain)
    yield binascii.hexlify(plain).upper()
    for offset in range(3):
        whole = plain[offset : offset + (len(plain) - offset) // 3 * 3]
        yield from (base64.b64encode(whole), base64.urlsafe_b64encode(whole))


class Parrot(LocalServer):
    """Answers with what it was sent."""

    async def serve(self, request: HttpRequest, writer: Any) -> None:
        body = json.dumps(dict(request.headers)).encode()
        writer.write(b"HTTP/1.1 401 No\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


class Speaker:
    """Calls tools and keeps whatever was answered that no secret belongs into: errors, and results but a value's."""

    def __init__(self, colony: RunningColony) -> None:
        self.client = ColonyClient(colony.url, colony.operator_token)
        self.heard: list[str] = []

    def say(self, tool: str, **arguments: Any) -> Any:
        try:
            result = self.client.call(tool, arguments)
        except CenobyError as error:
            self.heard.append(json.dumps(error.to_wire(), ensure_ascii=False))
            return {}
        self.heard.append(json.dumps({**result, "value": ""} if "value" in result else result, ensure_ascii=False))
        return result


def use_it_everywhere(speaker: Speaker, chance: random.Random, number: int, values: list[str]) -> None:
    """One secret through all of its life, the wrong ways included; the values that it had are added to `values`."""
    name = f"secret-{number}"
    first, second, refused = random_value(chance), random_value(chance), random_value(chance)
    values += [first, second, refused]
    say = speaker.say
    say("mads.turing.set_secret", name=name, value=first)
    lease = say("mads.turing.get_secret", name=name, lease_seconds=60).get("lease", {}).get("lease_id", "")
    say("mads.turing.rotate_secret", name=name, new_value=second)
    say("mads.turing.renew_lease", lease_id=lease)
    say("mads.turing.get_secret", name=name, version=1)
    say("mads.turing.set_secret", name=name, value=refused, readers=["nobody"])
    say("mads.turing.set_secret", name=name, value=[refused])
    say("mads.turing.set_secret", name=name, valeu=refused)
    say("mads.turing.set_secret", name="no name", value=refused)
    say("mads.turing.rotate_secret", name="unknown", new_value=refused)
    say("mads.turing.no_such_tool", name=name, value=refused)
    say("mads.turing.set_secret_policy", name=name, permits=[], reason="closed")
    say("mads.turing.get_secret", name=name)
    say("mads.turing.break_glass", name=name, reason="only to be parked")
    say("mads.turing.rotate_secret", name="generated")
    values.append(say("mads.turing.get_secret", name="generated")["value"])
    say("mads.turing.revoke_secret", name=name)


def send_it_everywhere(speaker: Speaker, chance: random.Random, values: list[str], servers: Any) -> None:
    """A model's key whose provider repeats it, and a MAD's header that comes back, right and wrong."""
    model, parrot = servers
    for _ in range(3):
        key = random_value(chance, header=True)
        values.append(key)
        speaker.say("mads.turing.set_secret", name="key", value=key, readers=["agent:courier"], colony_only=True)
        encoded = base64.b64encode(key.encode()).decode()
        for words in (key, encoded, key.encode().hex(), quote(key, safe="")):
            model.fail(Mishap(status=401, message=f"wrong key {words} given"))
            speaker.say("mads.fiedler.complete", prompt="hello")
        speaker.say("mads.courier.fetch", url=f"http://{parrot.address}/", secret="key")
        split = random_value(chance, header=True) + "\r\nx-other: " + random_value(chance, header=True)
        values.append(split.partition("\r")[0])
        speaker.say("mads.turing.set_secret", name="key", value=split)
        speaker.say("mads.courier.fetch", url=f"http://{parrot.address}/", secret="key")
        speaker.say("mads.fiedler.complete", prompt="hello")


async def test_no_value_is_written_anywhere(
    start_colony: Callable[..., AbstractContextManager[RunningColony]], tmp_path: Path
) -> None:
    """Through putting, reading, leasing, rotating, refusals, a sandboxed maker, models and headers: no log line, span,
    record, error, answer, report of `doctor`, nor any byte of the database and its write-ahead log after a kill holds a
    value, plainly or encoded; and the process leaves no core dump."""
    async with ScriptedModelServer(key="none") as model, Parrot() as parrot:
        await asyncio.to_thread(_try, start_colony, tmp_path, (model, parrot))


def _try(start_colony: Any, tmp_path: Path, servers: Any) -> None:
    model, parrot = servers
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    values = ["of no importance"]
    price = {"input_usd_per_million": 1, "output_usd_per_million": 1}
    courier = Path(__file__).parent.parent / "mads" / "courier_mad.py"
    settings = {
        "mads": ["turing", "grace", "fiedler", f"{courier}:Courier"],
        "models": [{"name": "m", "model": "scripted", "url": model.url, "key": "key"} | price],
        "egress": {"allow": [model.address, parrot.address]},
        "telemetry": {"log_level": "debug"},
        "breaker": {"failures": 1000},
        "secrets": {"named": {"generated": {"rotation": {"length": 40}}}},
    }
    with start_colony(settings=json.dumps(settings)) as colony:
        speaker = Speaker(colony)
        speaker.say("mads.turing.set_secret", name="generated", value="of no importance")
        for number in range(6):
            use_it_everywhere(speaker, chance, number, values)
        send_it_everywhere(speaker, chance, values, servers)
        shown = [colony.cenoby(*command, "--json", check=False).stdout for command in (("doctor",), ("status",))]
        shown.append(json.dumps(speaker.client.call("mads.grace.list_spans", {"limit": 1000})))
        page = speaker.client.call("mads.grace.list_records", {"limit": 500})
        shown += [
            json.dumps(speaker.client.call("mads.grace.get_record", {"record_id": one["id"]}))
            for one in page["records"][:200]
        ]
        assert json.loads(shown[1])["protections"]["core dumps"] == "off"
        limits = Path(f"/proc/{colony.process.pid}/limits")
        if limits.exists():
            (line,) = [one for one in limits.read_text().splitlines() if one.startswith("Max core file size")]
            assert line.split()[4:6] == ["0", "0"]
        colony.kill()
    places = {"answers": "\n".join(speaker.heard).encode(), "shown": "\n".join(shown).encode()}
    files = [one for one in (*tmp_path.rglob("*"),) if one.is_file() and one.name != "master.key"]
    places |= {str(one.relative_to(tmp_path)): one.read_bytes() for one in files}
    assert any(name.endswith("-wal") for name in places), sorted(places)
    # What was to be tried was tried: values were told and sent, and refused with words that might have held them.
    codes = {json.loads(one).get("code", "ok") for one in speaker.heard}
    assert codes > {"ok", "arguments_invalid", "secret_policy", "secret_invalid", "model_key_refused", "tool_unknown"}
    assert any("[secret]" in one for one in speaker.heard)
    assert any("x-key" in request.headers for request in parrot.requests)
    assert len(values) > 30
    found = [
        (place, value) for value in values for form in forms(value) for place, text in places.items() if form in text
    ]
    assert found == [], f"seed {seed}"
