"""The routes of the status page.

Without a sign-in it shows the colony's name and version. With the operator's token (or any other, or as whom a provider
vouches for: what it shows is what that agent may see) it shows MADs, mailboxes, recent records, waiting approvals,
agents and costs. Whatever it shows or does is a call of Grace's tools through the pipeline, so the page has no rights
of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from hmac import compare_digest
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from cenoby.dashboard.answers import STATIC, page, redirect, static
from cenoby.dashboard.provider import COOKIE as SIGN_IN_COOKIE
from cenoby.dashboard.provider import SECONDS, Provider
from cenoby.dashboard.sessions import Session, Sessions
from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import CenobyError, InvalidInput, Refused, Unauthenticated

_COOKIE = "cenoby_session"
_LARGEST_FORM = 16 * 1024
_RECORDS = 200
CAUSE = "status-page"
"""What the journal has as the cause of the page's own calls; no client can give it as that of another call."""
_OWN_READS = frozenset({"mads.grace.status", "mads.grace.list_approvals", "mads.grace.list_records"})


class ToolCaller(Protocol):
    """Calls a tool through the pipeline with the token of whoever looks at the page, and `CAUSE` as what led to it."""

    async def __call__(self, token: str, name: str, arguments: Mapping[str, Any]) -> Any:
        """The tool's structured result, plain JSON types.

        Raises:
            CenobyError: the pipeline refused the call, or the tool failed.
        """
        ...


Authenticate = Callable[[str], str]
"""Says which agent has a token; raises Unauthenticated where none has it any more. It writes nothing down."""


class FormInvalid(InvalidInput):
    """A form of the status page that cannot be read."""

    codes = {"form_invalid": "The form is too large, not UTF-8, or lacks a field; go back and send it again."}


class FormRefused(Refused):
    """A form that did not come from the status page itself."""

    codes = {"form_foreign": "The form came from another site or an ended session; open the page and send it again."}


class StatusPage:
    """The status page: an ASGI application that answers every path, unknown ones with 404.

    Args:
        colony, version: shown to everybody.
        authenticate: asked before anything is called, so that a stranger costs no call and no record.
        call_tool: the way to Grace.
        clock: ends sessions.
        provider: with which people sign in, where there is one.
        signed_out: told the credential of a session that its owner ended.
    """

    def __init__(
        self,
        *,
        colony: str,
        version: str,
        authenticate: Authenticate,
        call_tool: ToolCaller,
        clock: Clock,
        provider: Provider | None = None,
        signed_out: Callable[[str], object] = lambda credential: None,
    ) -> None:
        self._provider = provider
        self._signed_out = signed_out
        self._colony = colony
        self._version = version
        self._authenticate = authenticate
        self._call_tool = call_tool
        self._sessions = Sessions(clock)
        self._router = Router(self.routes(), redirect_slashes=False, default=self._nothing)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._router(scope, receive, send)

    def routes(self) -> list[Route]:
        """The pages and what they load."""
        return [
            Route("/", self._guarded(self._overview), methods=["GET"]),
            Route("/agents", self._guarded(self._agents), methods=["GET"]),
            Route("/records/{record_id}", self._guarded(self._record), methods=["GET"]),
            Route("/approvals", self._guarded(self._decide), methods=["POST"]),
            Route("/sign-in", self._guarded(self._sign_in), methods=["POST"]),
            *self._provider_routes(),
            Route("/sign-out", self._guarded(self._sign_out), methods=["POST"]),
            Route("/ui/{name}", self._static, methods=["GET"]),
        ]

    def _provider_routes(self) -> list[Route]:
        if self._provider is None:
            return []
        return [
            Route("/sign-in/begin", self._guarded(partial(self._begin, self._provider)), methods=["GET"]),
            Route("/sign-in/callback", self._guarded(partial(self._finish, self._provider)), methods=["GET"]),
        ]

    def _guarded(self, serve: Callable[[Request], Any]) -> Callable[[Request], Any]:
        """Turn what a page raises into a page."""

        async def endpoint(request: Request) -> Response:
            try:
                return await serve(request)
            except Unauthenticated as error:
                response = self._welcome(401, error.message)
                response.delete_cookie(_COOKIE)
                return response
            except CenobyError as error:
                headline = "Not allowed" if isinstance(error, Refused) else "That did not work"
                return self._page("message.html", error.http_status, headline=headline, error=error.to_wire())

        return endpoint

    async def _overview(self, request: Request) -> Response:
        token, session = self._credential(request)
        if token is None:
            return self._welcome()
        filters = {key: value for key in ("agent", "mad", "correlation") if (value := request.query_params.get(key))}
        older = request.query_params.get("cursor", "")
        query = {"limit": _RECORDS, **filters, **({"cursor": older} if older else {})}
        status, approvals, records = await asyncio.gather(
            self._call_tool(token, "mads.grace.status", {}),
            self._if_allowed(token, "mads.grace.list_approvals", {}),
            self._if_allowed(token, "mads.grace.list_records", query),
        )
        everything = bool(filters) or "all" in request.query_params
        return self._page(
            "overview.html",
            status_view=status,
            approvals=approvals,
            records=records if everything or records is None else _without_own_reads(records),
            filters=filters,
            older=older,
            form_key=session.form_key if session else "",
        )

    async def _agents(self, request: Request) -> Response:
        token, session = self._credential(request)
        if token is None:
            return self._welcome(401)
        agents, costs = await asyncio.gather(
            self._if_allowed(token, "mads.grace.list_agents", {}),
            self._if_allowed(token, "mads.grace.costs", {}),
        )
        return self._page("agents.html", agents=agents, costs=costs, form_key=session.form_key if session else "")

    async def _record(self, request: Request) -> Response:
        token, session = self._credential(request)
        if token is None:
            return self._welcome(401)
        record = await self._call_tool(token, "mads.grace.get_record", {"record_id": request.path_params["record_id"]})
        return self._page("record.html", record=record, form_key=session.form_key if session else "")

    async def _decide(self, request: Request) -> Response:
        token, session = self._credential(request)
        if token is None:
            return self._welcome(401)
        form = await _form(request)
        if session is not None:
            _require_own_form(request, form, session)
        decision = _field(form, "decision")
        if decision not in ("approve", "deny"):
            raise FormInvalid("form_invalid", "A decision is `approve` or `deny`.")
        arguments = {"approval_id": _field(form, "approval_id"), "reason": form.get("reason", "")}
        await self._call_tool(token, f"mads.grace.{decision}", arguments)
        return redirect("/")

    async def _sign_in(self, request: Request) -> Response:
        _require_own_origin(request)
        token = _field(await _form(request), "token").strip()
        response = redirect("/")
        await self._open(request, response, token)
        return response

    async def _begin(self, provider: Provider, request: Request) -> Response:
        del request
        url, name = await provider.begin()
        response = redirect(url)
        # Lax, because it comes back with a redirect from the provider; it is good for nothing else.
        response.set_cookie(
            SIGN_IN_COOKIE, name, SECONDS, path="/sign-in", httponly=True, samesite="lax", secure=provider.is_secure
        )
        return response

    async def _finish(self, provider: Provider, request: Request) -> Response:
        credential = await provider.finish(request.cookies.get(SIGN_IN_COOKIE, ""), dict(request.query_params))
        # A page that leads on, no redirect: a browser leaves strict cookies out of one that began elsewhere.
        response = self._page("signed_in.html")
        await self._open(request, response, credential)
        response.delete_cookie(SIGN_IN_COOKIE, path="/sign-in")
        return response

    async def _open(self, request: Request, response: Response, credential: str) -> None:
        agent = self._authenticate(credential)
        # Any tool that answers would do; this one proves that the agent may look at the colony.
        await self._call_tool(credential, "mads.grace.status", {})
        response.set_cookie(
            _COOKIE,
            self._sessions.open(credential, agent),
            path="/",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https" or (self._provider is not None and self._provider.is_secure),
        )

    async def _sign_out(self, request: Request) -> Response:
        # Asks for no token: whoever's was revoked may still sign out.
        name = request.cookies.get(_COOKIE, "")
        session = self._sessions.find(name)
        if session is not None:
            _require_own_form(request, await _form(request), session)
        self._sessions.close(name)
        if session is not None:
            self._signed_out(session.token)
        response = redirect("/")
        response.delete_cookie(_COOKIE)
        return response

    async def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        return static(name) if name in STATIC else self._missing()

    async def _nothing(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._missing()(scope, receive, send)

    def _missing(self) -> Response:
        error = {"message": "There is nothing at this address.", "code": "not_found"}
        return self._page("message.html", 404, headline="Not here", error=error)

    def _credential(self, request: Request) -> tuple[str | None, Session | None]:
        """The token of whoever looks, known to be somebody's, and the session that it came with.

        Raises:
            Unauthenticated: nobody has it, or not any more.
        """
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        by_header = scheme.lower() == "bearer" and bool(bearer)
        session = None if by_header else self._sessions.find(request.cookies.get(_COOKIE, ""))
        token = bearer.strip() if by_header else session.token if session else None
        if token is not None:
            self._authenticate(token)
        return token, session

    async def _if_allowed(self, token: str, tool: str, arguments: Mapping[str, Any]) -> Any:
        """The tool's result, or None where the roles of whoever looks do not allow it."""
        try:
            return await self._call_tool(token, tool, arguments)
        except Refused:
            return None

    def _welcome(self, status: int = 200, problem: str = "") -> Response:
        provider = "" if self._provider is None else self._provider.name
        return self._page("sign_in.html", status, problem=problem, provider=provider)

    def _page(self, template: str, status: int = 200, **values: Any) -> Response:
        return page(template, status, colony=self._colony, version=self._version, **values)


def _without_own_reads(records: Mapping[str, Any]) -> dict[str, Any]:
    """The page looks every few seconds, and each look is a record: shown, they would bury all others."""
    kept = [
        one
        for one in records["records"]
        if one["causation"] != CAUSE or one["tool"] not in _OWN_READS or one["status"] != "ok"
    ]
    return {**records, "records": kept, "hidden": len(records["records"]) - len(kept)}


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_FORM:
            raise FormInvalid("form_invalid", f"The form is larger than {_LARGEST_FORM} bytes.")
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=16)
    except ValueError as error:
        raise FormInvalid("form_invalid", "The form is not URL-encoded UTF-8 with at most 16 fields.") from error
    return {name: values[-1] for name, values in fields.items()}


def _field(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise FormInvalid("form_invalid", f"The form lacks the field {name!r}.")
    return value


def _require_own_form(request: Request, form: Mapping[str, str], session: Session) -> None:
    _require_own_origin(request)
    if not compare_digest(form.get("form_key", "").encode(), session.form_key.encode()):
        raise FormRefused("form_foreign", FormRefused.codes["form_foreign"])


def _require_own_origin(request: Request) -> None:
    """What a browser says of where a form comes from, where it says it (Fetch Metadata; RFC 6454)."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    if site not in ("same-origin", "none") or (origin and urlsplit(origin).netloc != request.headers.get("host")):
        raise FormRefused("form_foreign", FormRefused.codes["form_foreign"])
