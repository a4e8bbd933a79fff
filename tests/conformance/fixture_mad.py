"""The fixtures of MCP's own conformance suite as a MAD, for tests only: `tests/conformance/fixture_mad.py:Conformance`.

The suite calls its tools by bare names such as `test_simple_text`; here they are `mads.conformance.simple_text`, and
those named `test_input_required_result_<x>` are `mads.conformance.input_<x>`. Resources and prompts keep their names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol, Self, cast

from pydantic import Field

from cenoby.colony.invocation import Call
from cenoby.colony.mad import Grants, ListsChanged, Mad, Prompt, ResourceKind
from cenoby.colony.tool import ToolContent, tool
from tests.conformance import fixtures

_ACTION = "test:run"


class AskingClient(Protocol):
    """A client channel that can be asked several questions at once."""

    def supports(self, capability: str) -> bool: ...

    async def ask(self, questions: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]: ...


class Conformance(Mad):
    """Answers as the suite's fixtures do.

    Args:
        lists_changed: has clients told.
    """

    name = "conformance"
    summary = "Fixtures of MCP's conformance suite."

    def __init__(self, lists_changed: ListsChanged) -> None:
        self._lists_changed = lists_changed

    @classmethod
    def create(cls, grants: Grants) -> Self:
        return cls(grants.lists_changed)

    @tool(_ACTION, effect="reads")
    async def simple_text(self, call: Call) -> ToolContent:
        """Answers with one text."""
        return _text("This is a simple text response for testing.")

    @tool(_ACTION, effect="reads")
    async def image_content(self, call: Call) -> ToolContent:
        """Answers with an image."""
        return ToolContent([fixtures.IMAGE])

    @tool(_ACTION, effect="reads")
    async def audio_content(self, call: Call) -> ToolContent:
        """Answers with a sound."""
        return ToolContent([fixtures.AUDIO])

    @tool(_ACTION, effect="reads")
    async def embedded_resource(self, call: Call) -> ToolContent:
        """Answers with a resource inside the result."""
        return ToolContent([fixtures.EMBEDDED_RESOURCE])

    @tool(_ACTION, effect="reads")
    async def multiple_content_types(self, call: Call) -> ToolContent:
        """Answers with text, image and resource."""
        return ToolContent([*_text("Multiple content types test:").blocks, fixtures.IMAGE, fixtures.MIXED_RESOURCE])

    @tool(_ACTION, effect="reads")
    async def tool_with_logging(self, call: Call) -> ToolContent:
        """Sends three log lines while it runs."""
        await call.log("info", "Tool execution started")
        await asyncio.sleep(0.05)
        await call.log("info", "Tool processing data")
        await asyncio.sleep(0.05)
        await call.log("info", "Tool execution completed")
        return _text("Tool with logging executed successfully")

    @tool(_ACTION, effect="reads")
    async def tool_with_progress(self, call: Call) -> ToolContent:
        """Reports progress three times while it runs."""
        for done in (0, 50, 100):
            await call.progress(done, 100, f"Completed step {done} of 100")
            await asyncio.sleep(0.05)
        return _text("Tool with progress executed successfully")

    @tool(_ACTION, effect="reads")
    async def error_handling(self, call: Call) -> ToolContent:
        """Always ends in an error."""
        return ToolContent(_text("This tool intentionally returns an error for testing").blocks, is_error=True)

    @tool(_ACTION, effect="reads")
    async def sampling(
        self, call: Call, prompt: Annotated[str, Field(description="What to ask the model.")]
    ) -> ToolContent:
        """Asks the client's model."""
        answer = await call.sample(fixtures.sampling_request(prompt, 100))
        return _text(f"LLM response: {answer['content']['text']}")

    @tool(_ACTION, effect="reads")
    async def elicitation(self, call: Call, message: Annotated[str, Field(description="What to ask.")]) -> ToolContent:
        """Asks the person at the client."""
        answer = await call.elicit(message, fixtures.CONTACT_FORM)
        return _text(f"User response: {answer}")

    @tool(_ACTION, effect="reads")
    async def elicitation_sep1034_defaults(self, call: Call) -> ToolContent:
        """Asks with a form that has a default for every primitive type."""
        answer = await call.elicit("Please review and update the form fields with defaults", fixtures.DEFAULTS_FORM)
        return _text(f"Elicitation completed: {answer}")

    @tool(_ACTION, effect="reads")
    async def elicitation_sep1330_enums(self, call: Call) -> ToolContent:
        """Asks with a form that has every kind of choice."""
        answer = await call.elicit("Please choose", fixtures.CHOICES_FORM)
        return _text(f"Elicitation completed: {answer}")

    @tool(_ACTION, effect="reads")
    async def input_elicitation(self, call: Call) -> ToolContent:
        """Needs the caller's name."""
        answers = await _client(call).ask({"user_name": fixtures.name_question("What is your name?")})
        return _text(f"Hello, {_given(answers['user_name'], 'name')}!")

    @tool(_ACTION, effect="reads")
    async def input_sampling(self, call: Call) -> ToolContent:
        """Needs an answer of the client's model."""
        question = fixtures.sampling_question("What is the capital of France?", 100)
        answers = await _client(call).ask({"capital_question": question})
        return _text(str(answers["capital_question"]["content"]))

    @tool(_ACTION, effect="reads")
    async def input_list_roots(self, call: Call) -> ToolContent:
        """Needs the client's roots."""
        answers = await _client(call).ask({"client_roots": fixtures.ROOTS_QUESTION})
        return _text(f"Roots: {answers['client_roots']['roots']}")

    @tool(_ACTION, effect="reads")
    async def input_request_state(self, call: Call) -> ToolContent:
        """Needs a confirmation and its own sealed state back."""
        await _client(call).ask({"confirm": fixtures.CONFIRM_QUESTION})
        return _text("state-ok")

    @tool(_ACTION, effect="reads")
    async def input_multiple_inputs(self, call: Call) -> ToolContent:
        """Needs three answers of different kinds at once."""
        answers = await _client(call).ask(
            {
                "user_name": fixtures.name_question("What is your name?"),
                "greeting": fixtures.sampling_question("Generate a greeting", 50),
                "client_roots": fixtures.ROOTS_QUESTION,
            }
        )
        return _text(f"All {len(answers)} answers arrived.")

    @tool(_ACTION, effect="reads")
    async def input_multi_round(self, call: Call) -> ToolContent:
        """Needs two answers, one after the other."""
        client = _client(call)
        first = await client.ask({"step1": fixtures.name_question("Step 1: What is your name?")})
        second = await client.ask({"step2": fixtures.COLOUR_QUESTION})
        return _text(f"{_given(first['step1'], 'name')} likes {_given(second['step2'], 'color')}.")

    @tool(_ACTION, effect="reads")
    async def input_tampered_state(self, call: Call) -> ToolContent:
        """Needs a confirmation; a state that somebody changed never gets as far as here."""
        await _client(call).ask({"confirm": fixtures.CONFIRM_QUESTION})
        return _text("The state was intact.")

    @tool(_ACTION, effect="reads")
    async def input_capabilities(self, call: Call) -> ToolContent:
        """Asks only for what the client can give."""
        client = _client(call)
        questions = {
            capability: question
            for capability, question in fixtures.QUESTION_OF_CAPABILITY.items()
            if client.supports(capability)
        }
        await client.ask(questions)
        return _text("Asked only for what the client supports.")

    @tool(_ACTION, effect="reads")
    async def missing_capability(self, call: Call) -> ToolContent:
        """Needs sampling, whether the client declared it or not."""
        await call.sample(fixtures.sampling_request("Anything", 10))
        return _text("The client could be asked.")

    @tool(_ACTION, effect="reads")
    async def streaming_elicitation(self, call: Call) -> ToolContent:
        """Asks the person at the client once."""
        await _client(call).ask({"user_name": fixtures.name_question("What is your name?")})
        return _text("Thank you.")

    @tool(_ACTION, effect="reads")
    async def logging_tool(self, call: Call) -> ToolContent:
        """Logs at every level."""
        for level in ("debug", "info", "warning", "error"):
            await call.log(level, f"A line of level {level}")
        return _text("Logged.")

    @tool(_ACTION, effect="reads")
    async def custom_headers(
        self, call: Call, region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]
    ) -> ToolContent:
        """Takes an argument that also travels as a header."""
        return _text(f"Region: {region}")

    @tool(_ACTION, effect="writes")
    async def trigger_tool_change(self, call: Call) -> ToolContent:
        """Has listeners told that the tools changed."""
        await self._lists_changed("tools")
        return _text("Announced.")

    @tool(_ACTION, effect="writes")
    async def trigger_prompt_change(self, call: Call) -> ToolContent:
        """Has listeners told that the prompts changed."""
        await self._lists_changed("prompts")
        return _text("Announced.")

    @tool(_ACTION, effect="reads")
    async def static_text(self, call: Call) -> ToolContent:
        """The resource `test://static-text`."""
        return ToolContent(
            [fixtures.text_resource("test://static-text", "This is the content of the static text resource.")]
        )

    @tool(_ACTION, effect="reads")
    async def static_binary(self, call: Call) -> ToolContent:
        """The resource `test://static-binary`."""
        return ToolContent([fixtures.BINARY_RESOURCE])

    @tool(_ACTION, effect="reads")
    async def watched_resource(self, call: Call) -> ToolContent:
        """The resource `test://watched-resource`."""
        return ToolContent([fixtures.text_resource("test://watched-resource", "Watched resource content")])

    @tool(_ACTION, effect="reads")
    async def template_data(self, call: Call, id: str) -> ToolContent:
        """The resources `test://template/{id}/data`."""
        return ToolContent([fixtures.template_resource(id)])

    def resources(self) -> Sequence[ResourceKind]:
        return [
            _resource("test://static-text", "static_text", "text/plain"),
            _resource("test://static-binary", "static_binary", "image/png"),
            _resource("test://watched-resource", "watched_resource", "text/plain"),
            _resource("test://template/{id}/data", "template_data", "application/json"),
        ]

    def prompts(self) -> Sequence[Prompt]:
        return fixtures.PROMPTS


def _client(call: Call) -> AskingClient:
    assert call.client is not None, "the suite always calls from a client"
    return cast(AskingClient, call.client)


def _text(text: str) -> ToolContent:
    return ToolContent([{"type": "text", "text": text}])


def _given(answer: Mapping[str, Any], key: str) -> Any:
    content: Mapping[str, Any] = answer.get("content") or {}
    return content.get(key)


def _resource(template: str, tool_name: str, mime_type: str) -> ResourceKind:
    return ResourceKind(
        template=template,
        name=tool_name,
        description=f"Fixture of the conformance suite: {template}.",
        tool=f"mads.conformance.{tool_name}",
        mime_type=mime_type,
    )
