"""`cenoby content`: what the content policy says of a text, before anybody sends it anywhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from cyclopts import Parameter

from cenoby.cli.failures import ArgumentsInvalid
from cenoby.cli.options import Config, Data, Json
from cenoby.cli.output import print_fields, print_json, print_table
from cenoby.cli.settings_source import settings_for
from cenoby.kernel.settings import Settings


def check(
    file: Annotated[
        str, Parameter(help="A file with the text; - reads it from standard input.", allow_leading_hyphen=True)
    ],
    *,
    source: Annotated[
        Literal["person", "agent", "tainted"], Parameter(help="Whose words the prompt is taken for.")
    ] = "agent",
    answer: Annotated[bool, Parameter(help="Take it for a model's answer, not for a prompt.", negative="")] = False,
    system: Annotated[
        Path | None, Parameter(help="A file with the directive that an answer must not give away.")
    ] = None,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> int:
    """Say what the rules find in a text, by the settings: of a prompt its data class and score, and what is done.

    No colony need run. Exit code 1 where it would be asked about, refused, blacked out or withheld, else 0.
    """
    settings = settings_for(data, config)
    text = _read(file)
    found = _answer(settings, text, _read(str(system)) if system else "") if answer else _prompt(settings, text, source)
    places = found["places"]
    if json:
        print_json(found)
    else:
        print_fields({name: _shown(value) for name, value in found.items() if name != "places"})
        if places:
            print_table(["category", "line", "start", "end"], [list(one.values()) for one in places])
    return 0 if found["action"] in ("allow", "log") else 1


def _prompt(settings: Settings, text: str, source: Literal["person", "agent", "tainted"]) -> dict[str, Any]:
    from cenoby.protection.content.jailbreak import marks
    from cenoby.protection.content.model_policy import facts_of
    from cenoby.protection.content.prompts import ContentPolicy, marked_in

    policy = ContentPolicy(settings.content, facts_of(settings.models))
    data = policy.classes.of((), text, None)
    attack = policy.attack(marked_in([text]), lambda _: source)
    return {
        "part": "prompt",
        "data_class": data.name,
        "because": data.because,
        "source": source,
        "score": attack.score,
        "action": attack.action,
        "categories": attack.categories,
        "places": _places(text, [(one.category, one.start, one.end) for one in marks(text)]),
    }


def _answer(settings: Settings, text: str, system: str) -> dict[str, Any]:
    from cenoby.protection.content.answers import AnswerPolicy

    looked = AnswerPolicy(settings.content.answers).begin(system, "")
    checked = looked.finish(text)
    return {
        "part": "answer",
        "action": checked.action,
        "categories": checked.categories,
        "places": _places(text, [(one.category, one.start, one.end) for one in looked.places(text)]),
    }


def _places(text: str, found: list[tuple[str, int, int]]) -> list[dict[str, Any]]:
    """Where each is; line 0 stands for the whole text, or for something decoded from it."""
    return [
        {"category": category, "line": text.count("\n", 0, start) + 1 if start >= 0 else 0, "start": start, "end": end}
        for category, start, end in sorted(dict.fromkeys(found), key=lambda one: one[1:])
    ]


def _shown(value: Any) -> Any:
    return ", ".join(map(str, cast(tuple[Any, ...], value))) if isinstance(value, tuple) else value


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentsInvalid("arguments_unreadable", f"{file} cannot be read as text: {error}") from None
