"""Grace's tools for the journal: read it, prove it, and destroy what a record may not keep."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cenoby.colony.errors import CallInvalid
from cenoby.colony.invocation import Call
from cenoby.colony.mad import ResourceKind
from cenoby.colony.tool import tool
from cenoby.kernel.envelope import Priority
from cenoby.mads.grace.paging import Cursor, Limit
from cenoby.mads.grace.records import (
    PresentForm,
    RecordDetail,
    RecordPage,
    RecordUnknown,
    VerificationView,
    record_detail,
    record_page,
    time_ns,
    verification_view,
)
from cenoby.store.journal import Journal, JournalQuery, Record, head_of

RecordId = Annotated[str, Field(description="Id of the record.")]
Time = Annotated[str | None, Field(description="RFC 3339, e.g. 2026-07-28T12:00:00Z; UTC where no offset is given.")]


class JournalTools:
    """The part of Grace that shows the journal and erases from it."""

    _journal: Journal
    _present_form: PresentForm

    def resources(self) -> list[ResourceKind]:
        return [
            ResourceKind(
                template="cenoby://journal/{record_id}",
                name="journal record",
                description="One record of the journal: who did what, who allowed it, and its place in the chain.",
                tool="mads.grace.get_record",
                list_tool="mads.grace.list_records",
                list_key="records",
            )
        ]

    @tool("journal:read", effect="reads", title="List journal records")
    async def list_records(
        self,
        call: Call,
        since: Time = None,
        until: Time = None,
        agent: Annotated[str | None, Field(description="Only of this agent.")] = None,
        mad: Annotated[str | None, Field(description="Only of this MAD.")] = None,
        tool: Annotated[str | None, Field(description="Only of this tool, by canonical name.")] = None,
        correlation: Annotated[str | None, Field(description="Only with this correlation id.")] = None,
        kind: Annotated[
            Literal["call", "decision", "intent", "outcome", "event"] | None, Field(description="Only of this kind.")
        ] = None,
        code: Annotated[str | None, Field(description="Only with this error or event code.")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
        newest_first: Annotated[bool, Field(description="Newest first, or oldest first.")] = True,
    ) -> RecordPage:
        """List journal records, page by page: who called what, what was decided, how it ended."""
        query = JournalQuery(
            tenant=call.principal.tenant,
            since_ns=time_ns(since),
            until_ns=time_ns(until),
            agent=agent or "",
            mad=mad or "",
            tool=tool or "",
            code=code or "",
            correlation=correlation or "",
            kind=kind or "",
            newest_first=newest_first,
            limit=limit,
            cursor=cursor or "",
        )
        return record_page(await self._journal.page(query))

    @tool("journal:read", effect="reads", title="Show a journal record")
    async def get_record(self, call: Call, record_id: RecordId) -> RecordDetail:
        """Show one journal record with its payload (secrets were taken out before it was written) and its hashes."""
        return record_detail(await self._record(call, record_id), self._present_form)

    @tool("journal:read", effect="reads", title="Verify the journal", timeout=3600, priority=Priority.BULK)
    async def verify_journal(
        self,
        call: Call,
        heads: Annotated[
            list[str], Field(description="Heads of earlier checks, node:seq:hash; they must still be in the chain.")
        ] = [],  # noqa: B006 - only read
    ) -> VerificationView:
        """Check the whole hash chain and all payloads that are there; names the first record that does not hold."""
        del call
        try:
            kept = [head_of(head) for head in heads]
        except ValueError as error:
            raise CallInvalid("arguments_invalid", f"heads: {error}.") from None
        return verification_view(await self._journal.verify(kept))

    @tool("journal:erase", effect="writes", title="Erase a payload", priority=Priority.SYSTEM)
    async def erase_payload(
        self,
        call: Call,
        record_id: RecordId,
        reason: Annotated[str, Field(description="Why; the journal gets it.", min_length=1, max_length=500)],
    ) -> RecordDetail:
        """Destroy the payload of one record for good; the record itself and the proof of the chain stay."""
        del reason  # It is in the record of this call.
        found = await self._record(call, record_id)
        if found.payload is None:
            raise RecordUnknown("payload_unknown", f"Record {found.id} has no payload, or it was erased before.")
        await self._journal.erase(found, agent=call.principal.agent)
        return record_detail(await self._record(call, record_id), self._present_form)

    async def _record(self, call: Call, record_id: str) -> Record:
        found = await self._journal.get(record_id)
        if found is None or found.tenant not in ("", call.principal.tenant):
            raise RecordUnknown("record_unknown", f"The journal has no record {record_id[:64]!r}; list_records lists.")
        return found
