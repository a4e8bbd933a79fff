"""The webhook of approvals: somebody outside is told what is parked and what became of it, signed, until they took it.

What is to be told lies in the outbox from the transaction on in which it happened. It is posted as JSON with two
headers: `cenoby-timestamp`, Unix seconds, and `cenoby-signature`, `v1=` with the HMAC-SHA256 in hexadecimal over
`<timestamp>.<body>` under the shared secret. Whatever is not answered by a status 2xx is posted again, later each time.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from cenoby.access.actions import RiskTier
from cenoby.access.approvals.events import ApprovalNews
from cenoby.access.approvals.parked_calls import News
from cenoby.access.approvals.sql import NEVER_NS, Approval
from cenoby.bus.contract import payload_as
from cenoby.bus.wire import encode_envelope
from cenoby.colony.outbox_queue import OutboxQueue
from cenoby.kernel.clock import Clock, iso_time
from cenoby.kernel.codec import to_json
from cenoby.kernel.envelope import Envelope, Priority
from cenoby.kernel.events import tag_of
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings_approvals import ApprovalSettings
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_rules.sender import Sender
from cenoby.protection.redact import Redactor
from cenoby.store.database import Database
from cenoby.store.outbox import Item, Outbox

_TRIES = 20
"""With the outbox's pauses, which double up to 30 s, that is about seven minutes; then it is a dead letter."""
_APPROVALS = Sender(part="approvals")
_SECONDS = 10.0
_MOST_ANSWER = 64 * 1024


class NotTaken(Exception):
    """The receiver did not take it; it is sent again."""


def queue_of(colony: str) -> str:
    """The outbox queue of a colony's news."""
    return f"{colony}.approval-news"


def news_for(settings: ApprovalSettings, colony: str, redactor: Redactor) -> News:
    """What puts news into the outbox, or tells nobody where there is no webhook."""
    if settings.webhook is None:
        return lambda kind, approval: None

    def news(kind: str, approval: Approval) -> Item:
        what = ApprovalNews(kind=kind, approval=redactor.value(_shown(approval))[0])
        envelope = Envelope(
            id=new_id(),
            tenant=approval.tenant,
            correlation=approval.correlation,
            sender="grace",
            recipient=queue_of(colony),
            event=tag_of(ApprovalNews),
            payload=what,
            priority=Priority.BULK,
        )
        return Item(envelope.id, approval.tenant, envelope.recipient, encode_envelope(envelope))

    return news


def _shown(approval: Approval) -> dict[str, Any]:
    one = approval
    return {
        "id": one.id,
        "tenant": one.tenant,
        "status": one.status,
        "agent": one.agent,
        "tool": one.tool,
        "action": one.action,
        "risk": str(RiskTier(one.risk)),
        "arguments": one.summary,
        "digest": one.digest,
        "asks": [{"by": ask.by, "reason": ask.reason} for ask in one.asks],
        "people_needed": one.needed,
        "seconded_by": one.seconded_by,
        "decided_by": one.decided_by,
        "created": iso_time(one.created_ns),
        "expires": None if one.expires_ns == NEVER_NS else iso_time(one.expires_ns),
        "level": one.level,
    }


def signature(key: bytes, timestamp: str, body: bytes) -> str:
    """The header `cenoby-signature` of a body that is sent at `timestamp`."""
    return "v1=" + hmac.digest(key, timestamp.encode() + b"." + body, "sha256").hex()


class ApprovalWebhook:
    """Posts news.

    Args:
        settings: where to.
        colony: the colony's name.
        database, clock: of the outbox.
        secret: reads the shared secret by its name.
        egress: the way out.
    """

    def __init__(
        self,
        settings: ApprovalSettings,
        colony: str,
        database: Database,
        clock: Clock,
        secret: Callable[[str], Awaitable[str]],
        egress: EgressGuard,
    ) -> None:
        self._settings = settings.webhook
        self._queue = queue_of(colony)
        self._outbox = OutboxQueue(Outbox(database, clock), clock)
        self._clock = clock
        self._secret = secret
        self._egress = egress

    async def start(self) -> None:
        """Post what lies there and what comes, where the settings name a receiver."""
        if self._settings is not None:
            await self._outbox.work(self._queue, self._post, max_deliveries=_TRIES)

    async def stop(self) -> None:
        """Post no more; what is left is posted after the next start."""
        await self._outbox.close()

    async def _post(self, envelope: Envelope) -> None:
        assert self._settings is not None, "only a colony with a webhook posts"
        what = payload_as(envelope, ApprovalNews)
        body = to_json({"id": envelope.id, "kind": what.kind, "approval": what.approval})
        timestamp = str(self._clock.now_ns() // 1_000_000_000)
        key = (await self._secret(self._settings.secret)).encode()
        headers = {
            "content-type": "application/json",
            "cenoby-timestamp": timestamp,
            "cenoby-signature": signature(key, timestamp, body),
        }
        answer = await self._egress.fetch(
            "POST", self._settings.url, headers, body, by=_APPROVALS, timeout=_SECONDS, max_bytes=_MOST_ANSWER
        )
        if not 200 <= answer.status < 300:
            raise NotTaken(f"{self._settings.url} answered {answer.status}")
