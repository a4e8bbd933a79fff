"""The SDK's low-level server with Cenoby's handlers: one short method for each MCP request.

Nothing is decided here. Calls go to the pipeline; listings show what the caller's roles allow.
"""

from __future__ import annotations

from typing import Any

import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY, event_to_notification

from cenoby import __version__
from cenoby.access.tokens import Identities
from cenoby.gateway.calls import Calls
from cenoby.gateway.catalogue import Catalogue
from cenoby.gateway.changes import Changes, Feed
from cenoby.gateway.created_tasks import EXTENSION
from cenoby.gateway.errors import protocol_error
from cenoby.gateway.intake import BodyInvalid
from cenoby.gateway.prompts import Prompts
from cenoby.gateway.request_facts import CALLER, Context, facts_in, principal_of
from cenoby.gateway.resources import Resources
from cenoby.gateway.session import Session
from cenoby.gateway.tasks import TaskParams, Tasks

_MOST_URIS = 256
"""Resources that one client may watch at once."""

_INSTRUCTIONS = (
    "A Cenoby colony. Tools are named mads__<mad>__<tool> (or mads.<mad>.<tool>; both work). Every call is checked, "
    "limited and recorded; a refusal says what to do next, and `_meta` holds the journal record of each result."
)


class McpHandlers:
    """The handlers of all MCP requests.

    Args:
        calls, catalogue, resources, prompts: what they show and do.
        changes: what clients may listen to.
        identities: tell when a listener's token lapses.
    """

    def __init__(
        self,
        calls: Calls,
        catalogue: Catalogue,
        resources: Resources,
        prompts: Prompts,
        changes: Changes,
        identities: Identities,
    ) -> None:
        self._calls = calls
        self._catalogue = catalogue
        self._resources = resources
        self._prompts = prompts
        self._changes = changes
        self._identities = identities

    async def list_tools(self, context: Context, params: types.PaginatedRequestParams | None) -> Any:
        return _complete(self._catalogue.list_tools(principal_of(context), _cursor(params)))

    async def call_tool(self, context: Context, params: types.CallToolRequestParams) -> Any:
        return _complete(await self._calls.call_tool(context, params.name, params.arguments or {}))

    async def list_resources(self, context: Context, params: types.PaginatedRequestParams | None) -> Any:
        return _complete(await self._resources.list_resources(context, _cursor(params)))

    async def list_templates(self, context: Context, params: types.PaginatedRequestParams | None) -> Any:
        return _complete(self._resources.list_templates(context, _cursor(params)))

    async def read_resource(self, context: Context, params: types.ReadResourceRequestParams) -> Any:
        return _complete(await self._resources.read(context, params.uri))

    async def subscribe(self, context: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        feed = _session(context).feed
        await self._watch(context, feed, params.uri)
        return types.EmptyResult()

    async def unsubscribe(self, context: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        self._changes.unwatch(_session(context).feed, params.uri)
        return types.EmptyResult()

    async def listen(
        self, context: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """One subscription stream of revision 2026-07-28: acknowledge, then tell of changes until a side ends it.

        It ends, with its result, when the listener's token lapses, too.
        """
        wanted = params.notifications
        _check_uris(len(wanted.resource_subscriptions or ()))
        lists = [name for name in ("tools", "prompts", "resources") if getattr(wanted, f"{name}_list_changed")]
        principal = principal_of(context)
        feed = self._changes.open(principal.tenant, lists)
        meta = {SUBSCRIPTION_ID_META_KEY: context.request_id}
        try:
            with self._identities.hold(principal, lambda _: feed.cut()):
                await self._acknowledge(context, feed, wanted, meta)
                # Until now the request was work under way; a stream that only waits has a place of another kind.
                facts_in(context).place.release()
                while events := await feed.take():
                    for event in events:
                        notice = event_to_notification(event, meta)
                        await context.session.send_notification(notice, related_request_id=context.request_id)
        finally:
            self._changes.drop(feed)
        return types.SubscriptionsListenResult(_meta=meta)

    async def list_prompts(self, context: Context, params: types.PaginatedRequestParams | None) -> Any:
        return _complete(self._prompts.list_prompts(context, _cursor(params)))

    async def get_prompt(self, context: Context, params: types.GetPromptRequestParams) -> Any:
        return _complete(await self._prompts.get(context, params.name, params.arguments or {}))

    async def complete(self, context: Context, params: types.CompleteRequestParams) -> Any:
        if isinstance(params.ref, types.PromptReference):
            name, asked = params.ref.name, params.argument
            return _complete(await self._prompts.complete(context, name, asked.name, asked.value))
        return _complete({"completion": {"values": [], "total": 0, "hasMore": False}})

    async def set_log_level(self, context: Context, params: types.SetLevelRequestParams) -> types.EmptyResult:
        _session(context).log_level = params.level
        return types.EmptyResult()

    async def _watch(self, context: Context, feed: Feed, uri: str) -> None:
        # Whoever may not read a thing must not learn when it changes; so watching starts with a read, and is recorded.
        _check_uris(len(feed.uris) + (uri not in feed.uris))
        await self._resources.read(context, uri)
        self._changes.watch(feed, uri)

    async def _acknowledge(
        self, context: Context, feed: Feed, wanted: types.SubscriptionFilter, meta: dict[str, Any]
    ) -> None:
        for uri in wanted.resource_subscriptions or ():
            try:
                await self._watch(context, feed, uri)
            except MCPError:
                continue  # the acknowledgement names what is watched, and so what is not
        honoured = types.SubscriptionFilter(
            tools_list_changed=True if "tools" in feed.lists else None,
            prompts_list_changed=True if "prompts" in feed.lists else None,
            resources_list_changed=True if "resources" in feed.lists else None,
            resource_subscriptions=sorted(feed.uris) or None,
        )
        params = types.SubscriptionsAcknowledgedNotificationParams(notifications=honoured, _meta=meta)
        notice = types.SubscriptionsAcknowledgedNotification(params=params)
        await context.session.send_notification(notice, related_request_id=context.request_id)


def build_server(handlers: McpHandlers, catalogue: Catalogue, tasks: Tasks) -> Server[Any]:
    """The SDK's server, with our handlers in place of its own."""
    server: Server[Any] = Server(
        "cenoby",
        version=__version__,
        title="Cenoby",
        instructions=_INSTRUCTIONS,
        get_tool_input_schema=lambda name: catalogue.header_schema(CALLER.get(), name),
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_templates,
        on_read_resource=handlers.read_resource,
        on_subscribe_resource=handlers.subscribe,
        on_unsubscribe_resource=handlers.unsubscribe,
        on_subscriptions_listen=handlers.listen,
        on_list_prompts=handlers.list_prompts,
        on_get_prompt=handlers.get_prompt,
        on_completion=handlers.complete,
    )
    # Not by the constructor, which warns that logging is deprecated: the handshake revisions need it.
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, handlers.set_log_level)
    server.extensions[EXTENSION] = {}
    server.add_request_handler("tasks/get", TaskParams, tasks.get)
    server.add_request_handler("tasks/cancel", TaskParams, tasks.cancel)
    server.add_request_handler("tasks/update", TaskParams, tasks.update)
    # The recorder has spans of its own; the SDK's would be the dearest part of a call.
    server.middleware.clear()
    return server


def _check_uris(count: int) -> None:
    if count > _MOST_URIS:
        raise protocol_error(
            BodyInvalid("uris_too_many", f"A client may watch {_MOST_URIS} resources at once, not {count}.")
        )


def _session(context: Context) -> Session:
    session = facts_in(context).session
    assert session is not None, "only the handshake revisions have such requests"
    return session


def _complete(result: dict[str, Any]) -> dict[str, Any]:
    # Revision 2026-07-28 requires it of every result; the SDK drops it for the others.
    result.setdefault("resultType", "complete")
    return result


def _cursor(params: types.PaginatedRequestParams | None) -> str | None:
    return params.cursor if params is not None else None
