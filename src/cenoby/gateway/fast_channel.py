"""The way back to the client of a call on the fast path, in either era."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cenoby.gateway.call_requests import Capabilities
from cenoby.gateway.client_channel import AnswerBook, Asking, wants_log
from cenoby.gateway.fast_answer import FastAnswer
from cenoby.gateway.session import Session


class _Fast:
    """What both eras do on the call's own answer.

    Args:
        answer: the answer under way.
        progress_token: by which the client knows progress of this call; None where it asked for none.
        log_level: least severe level that the client wants; None for no log lines at all.
    """

    def __init__(self, answer: FastAnswer, progress_token: str | int | None, log_level: str | None) -> None:
        self._answer = answer
        self._progress_token = progress_token
        self._log_level = log_level

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Send a progress notification if the client asked for them."""
        if self._progress_token is None:
            return
        params: dict[str, Any] = {"progressToken": self._progress_token, "progress": done}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = message
        await self._answer.tell({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})

    async def log(self, level: str, text: str) -> None:
        """Send a log line if the client wants its level."""
        if wants_log(self._log_level, level):
            params = {"level": level, "data": text}
            await self._answer.tell({"jsonrpc": "2.0", "method": "notifications/message", "params": params})


class FastStatelessChannel(_Fast, AnswerBook):
    """Asks by ending the call."""

    def __init__(
        self,
        answer: FastAnswer,
        progress_token: str | int | None,
        log_level: str | None,
        capabilities: Capabilities,
    ) -> None:
        _Fast.__init__(self, answer, progress_token, log_level)
        AnswerBook.__init__(self, {})
        self._capabilities = capabilities

    def supports(self, capability: str) -> bool:
        return getattr(self._capabilities, capability, None) is not None


class FastSessionChannel(_Fast, Asking):
    """Asks on the answer's stream; the client's replies come as requests of their own to the session."""

    def __init__(self, answer: FastAnswer, progress_token: str | int | None, session: Session) -> None:
        super().__init__(answer, progress_token, session.log_level)
        self._session = session

    def supports(self, capability: str) -> bool:
        return self._session.supports(capability)

    def _next_key(self) -> str:
        return "answer"

    async def _put(self, questions: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        return {key: await self._session.ask(self._answer.tell, question) for key, question in questions.items()}
