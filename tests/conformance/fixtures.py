"""What the fixture MAD answers: pictures, forms, questions and prompts, as the suite expects them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from cenoby.colony.mad import Prompt

_ACTION = "test:run"
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
_WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

IMAGE = {"type": "image", "data": _PNG, "mimeType": "image/png"}
AUDIO = {"type": "audio", "data": _WAV, "mimeType": "audio/wav"}
BINARY_RESOURCE = {
    "type": "resource",
    "resource": {"uri": "test://static-binary", "mimeType": "image/png", "blob": _PNG},
}


def _form(required: tuple[str, ...] = (), **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _choices(*titled: tuple[str, str]) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in titled]


_OPTIONS = ["option1", "option2", "option3"]
_TITLED = _choices(("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option"))

CONTACT_FORM = _form(
    ("username", "email"),
    username={"type": "string", "description": "User's response"},
    email={"type": "string", "description": "User's email address"},
)
DEFAULTS_FORM = _form(
    name={"type": "string", "description": "User name", "default": "John Doe"},
    age={"type": "integer", "description": "User age", "default": 30},
    score={"type": "number", "description": "User score", "default": 95.5},
    status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    verified={"type": "boolean", "description": "Verification status", "default": True},
)
CHOICES_FORM = _form(
    untitledSingle={"type": "string", "enum": _OPTIONS},
    titledSingle={"type": "string", "oneOf": _TITLED},
    legacyEnum={
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    untitledMulti={"type": "array", "items": {"type": "string", "enum": _OPTIONS}},
    titledMulti={"type": "array", "items": {"anyOf": _TITLED}},
)


def _elicitation(message: str, form: Mapping[str, Any]) -> dict[str, Any]:
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": form}}


def name_question(message: str) -> dict[str, Any]:
    """Asks a person for a name."""
    return _elicitation(message, _form(("name",), name={"type": "string"}))


def sampling_request(prompt: str, max_tokens: int) -> dict[str, Any]:
    """Parameters of a sampling request with one user message."""
    return {"messages": [{"role": "user", "content": {"type": "text", "text": prompt}}], "maxTokens": max_tokens}


def sampling_question(prompt: str, max_tokens: int) -> dict[str, Any]:
    """Asks the client's model."""
    return {"method": "sampling/createMessage", "params": sampling_request(prompt, max_tokens)}


CONFIRM_QUESTION = _elicitation("Please confirm", _form(("ok",), ok={"type": "boolean"}))
COLOUR_QUESTION = _elicitation("Step 2: What is your favorite color?", _form(("color",), color={"type": "string"}))
CONTEXT_QUESTION = _elicitation("What context should the prompt use?", _form(("context",), context={"type": "string"}))
ROOTS_QUESTION: dict[str, Any] = {"method": "roots/list", "params": {}}

QUESTION_OF_CAPABILITY: Mapping[str, dict[str, Any]] = {
    "elicitation": name_question("What is your name?"),
    "sampling": sampling_question("Say something.", 10),
    "roots": ROOTS_QUESTION,
}


def text_resource(uri: str, text: str, mime_type: str = "text/plain") -> dict[str, Any]:
    """A content block that holds a resource."""
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime_type, "text": text}}


EMBEDDED_RESOURCE = text_resource("test://embedded-resource", "This is an embedded resource content.")
MIXED_RESOURCE = text_resource("test://mixed-content-resource", '{"test":"data","value":123}', "application/json")


def template_resource(identifier: str) -> dict[str, Any]:
    """The resource `test://template/<identifier>/data`."""
    data = {"id": identifier, "templateTest": True, "data": f"Data for ID: {identifier}"}
    return text_resource(f"test://template/{quote(identifier)}/data", json.dumps(data), "application/json")


def _user(content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _said(text: str) -> dict[str, Any]:
    return _user({"type": "text", "text": text})


async def _simple(arguments: Mapping[str, str], client: Any = None) -> list[dict[str, Any]]:
    del arguments, client
    return [_said("This is a simple prompt for testing.")]


async def _with_arguments(arguments: Mapping[str, str], client: Any = None) -> list[dict[str, Any]]:
    del client
    return [_said(f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'")]


async def _suggest(argument: str, text: str) -> list[str]:
    del argument
    return [word for word in ("paris", "park", "party") if word.startswith(text)]


async def _with_resource(arguments: Mapping[str, str], client: Any = None) -> list[dict[str, Any]]:
    del client
    resource = text_resource(arguments["resourceUri"], "Embedded resource content for testing.")
    return [_user(resource), _said("Please process the embedded resource above.")]


async def _with_image(arguments: Mapping[str, str], client: Any = None) -> list[dict[str, Any]]:
    del arguments, client
    return [_user(IMAGE), _said("Please analyze the image above.")]


async def _asking(arguments: Mapping[str, str], client: Any = None) -> list[dict[str, Any]]:
    del arguments
    answers = await client.ask({"user_context": CONTEXT_QUESTION})
    return [_said(f"Prompt with context: {answers['user_context']['content']['context']}")]


PROMPTS = (
    Prompt(name="test_simple_prompt", description="A prompt without arguments.", action=_ACTION, render=_simple),
    Prompt(
        name="test_prompt_with_arguments",
        description="A prompt with two arguments.",
        action=_ACTION,
        render=_with_arguments,
        arguments=(("arg1", "First test argument", True), ("arg2", "Second test argument", True)),
        complete=_suggest,
    ),
    Prompt(
        name="test_prompt_with_embedded_resource",
        description="A prompt with a resource inside.",
        action=_ACTION,
        render=_with_resource,
        arguments=(("resourceUri", "URI of the resource to embed", True),),
    ),
    Prompt(
        name="test_prompt_with_image", description="A prompt with an image inside.", action=_ACTION, render=_with_image
    ),
    Prompt(
        name="test_input_required_result_prompt",
        description="A prompt that asks first.",
        action=_ACTION,
        render=_asking,
    ),
)
