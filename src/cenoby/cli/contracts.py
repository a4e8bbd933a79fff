"""Contract tests between colonies: a document of an API against what its provider publishes now.

In a consumer's test suite:

    from cenoby.cli.contracts import contract_problems

    def test_the_provider_keeps_its_promise() -> None:
        assert contract_problems(Path("talk.v1.json"), "https://other.example/mcp", token) == []
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from cenoby.cli.colony_client import ColonyClient
from cenoby.cli.failures import ArgumentsInvalid
from cenoby.colony.apis.contract import broken_promises
from cenoby.colony.apis.document import ApiDocument, read_document
from cenoby.kernel.codec import CodecError
from cenoby.kernel.errors import CenobyError


def contract_problems(file: Path, url: str, token: str) -> list[str]:
    """What the colony at `url` does not keep of the document in `file`; empty where it keeps all.

    Raises:
        ArgumentsInvalid: `document_unreadable`.
        CenobyError: the colony does not answer, or not to this token.
    """
    return problems_at(ColonyClient(url, token), file)


def problems_at(client: ColonyClient, file: Path) -> list[str]:
    """As `contract_problems`, asked through a client."""
    promised = _document_in(file)
    try:
        now = live_document(client, promised.api, promised.version)
    except CenobyError as error:
        if error.code not in ("api_unknown", "api_ended"):
            raise
        return [error.message]
    return broken_promises(promised, now)


def live_document(client: ColonyClient, api: str, version: int) -> ApiDocument:
    """What a colony publishes now.

    Raises:
        CenobyError: there is no such version, or no answer.
    """
    return msgspec.convert(client.call("mads.grace.get_api", {"api": api, "version": version}), ApiDocument)


def _document_in(file: Path) -> ApiDocument:
    try:
        return read_document(file.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
    except CodecError as error:
        reason = error.message
    raise ArgumentsInvalid("document_unreadable", f"{file} cannot be read: {reason}")
