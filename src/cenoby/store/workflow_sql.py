"""The rows of durable workflows. Every function runs inside one `Database.write` or `Database.read`.

Whoever takes a row on counts its `token` up; only with that token, and from the step it saw, can the row be moved.
Functions that write follow one another in all processes that share the store, so no signal falls between a look and
a wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from msgspec.structs import replace

from cenoby.kernel.codec import from_json, to_json
from cenoby.store.database import StoreRefused
from cenoby.store.engine import Connection
from cenoby.store.outbox import put_item
from cenoby.store.workflow_types import Definitions, Instance, Signal, Step

AT_ONCE = 0
"""The due time of what waits for nothing: no clock is before it, whatever it is set to."""
FARTHEST_NS = 5 * 60 * 1_000_000_000
"""No lease and no pause between two tries is that long; one that seems so was written before a clock was set back."""

Sent = Literal["kept", "duplicate", "ended", "unknown"]


class Filter:
    """The SQL condition for rows that the definitions of this process take on, and its values."""

    def __init__(self, definitions: Definitions) -> None:
        terms: list[str] = []
        values: list[Any] = []
        for type_name, version, states in definitions.handled():
            some = "" if states is None else f" AND state IN ({', '.join('?' * len(states))})"
            terms.append(f"(type = ? AND version = ?{some})")
            values += [type_name, version, *(states or ())]
        self.sql, self.values = f"({' OR '.join(terms) or '1 = 0'})", values


def start_workflow(connection: Connection, instance: Instance) -> tuple[str, bool]:
    """The id of the instance with this tenant, type and key, and whether that is this new one."""
    one = instance
    data = to_json(one.data).decode()
    values = (one.id, one.tenant, one.type, one.version, one.key, one.state, data, AT_ONCE, one.started_ns)
    if connection.execute(_START, (*values, one.started_ns)).rowcount == 1:
        return one.id, True
    return connection.execute(_ID, (one.tenant, one.type, one.key)).fetchone()[0], False


def send_signal(connection: Connection, identifier: str, signal: Signal, now_ns: int) -> Sent:
    """Keep a signal for an instance, and wake it where it waits for that; an instance that ended takes none."""
    row = connection.execute("SELECT tenant, status, waits_for FROM workflows WHERE id = ?", (identifier,)).fetchone()
    if row is None:
        return "unknown"
    tenant, status, waits_for = row
    if connection.execute(_KNOWN, (identifier, signal.id)).fetchone():
        return "duplicate"
    if status == "done":
        return "ended"
    payload = to_json(signal.payload).decode()
    connection.execute(_KEEP, (tenant, identifier, signal.id, signal.name, payload, now_ns))
    if signal.name in waits_for.split():
        connection.execute("UPDATE workflows SET due_ns = ? WHERE id = ? AND status = 'open'", (AT_ONCE, identifier))
    return "kept"


def claim(
    connection: Connection, handled: Filter, owner: str, most: int, now_ns: int, lease_until_ns: int
) -> list[Instance]:
    """Take up to `most` rows that are due and in nobody's hands, those that were due first and older ones before."""
    rows = _due(connection, f"{_DUE} AND {handled.sql}", [now_ns, now_ns, *handled.values], most)
    if len(rows) < most:
        far = now_ns + FARTHEST_NS
        rows += _due(connection, f"{_STRANDED} AND {handled.sql}", [far, far, *handled.values], most - len(rows))
    taken: list[Instance] = []
    for identifier, token in rows:
        row = connection.execute(_CLAIM, (owner, AT_ONCE, lease_until_ns, identifier, token)).fetchone()
        if row is not None:
            taken.append(_with_signal(connection, instance_of(row)))
    return taken


def _due(connection: Connection, statement: str, values: list[Any], most: int) -> list[tuple[str, int]]:
    # A row that somebody else has locked is not waited for while all writers wait for us.
    skip = " FOR UPDATE SKIP LOCKED" if connection.dialect == "postgresql" else ""
    return connection.execute(f"{statement} ORDER BY due_ns, id LIMIT ?{skip}", (*values, most)).fetchall()


def apply_step(
    connection: Connection, seen: Instance, step: Step, *, ended: bool, now_ns: int, lease_until_ns: int | None
) -> Instance | None:
    """Move a row on, with all that the step brings; the instance where its next step is due and its holder keeps it.

    Args:
        connection: in the transaction of the step.
        seen: as its handler was given it, of the version whose handler that was.
        step: what the handler decided.
        ended: whether its state is an end.
        now_ns: the time.
        lease_until_ns: until when the holder keeps a row that is due at once; None to let it go.

    Raises:
        StoreRefused: lease_lost: it is in other hands, or has moved; or workflow_signalled: what the handler believed
            not to have come in time is there.
    """
    if seen.signal is not None:
        connection.execute(_USE, (seen.step, seen.id, seen.signal.id))
    elif seen.waits_for and _next_signal(connection, seen.id, seen.waits_for):
        raise StoreRefused("workflow_signalled", f"A signal reached {seen.id} while it was taken as timed out.")
    due_ns = None if ended else _due_ns(connection, seen.id, step)
    keeps = due_ns is not None and due_ns <= now_ns and lease_until_ns is not None
    values = (
        seen.version, step.state, "done" if ended else "open", to_json(step.data).decode(), int(keeps), due_ns,
        " ".join(step.wait), seen.owner if keeps else "", lease_until_ns if keeps else 0, now_ns,
    )  # fmt: skip
    row = connection.execute(_APPLY, (*values, seen.id, seen.token, seen.step)).fetchone()
    if row is None:
        raise _lost(seen)
    for item in step.put:
        put_item(connection, item, now_ns)
    if step.write is not None:
        step.write(connection)
    return _with_signal(connection, instance_of(row)) if keeps else None


def _lost(seen: Instance) -> StoreRefused:
    return StoreRefused("lease_lost", f"The workflow lease of {seen.id} (token {seen.token}) is in other hands.")


def _due_ns(connection: Connection, identifier: str, step: Step) -> int | None:
    if step.wait:
        return AT_ONCE if _next_signal(connection, identifier, step.wait) else step.wake_ns
    return AT_ONCE if step.wake_ns is None else step.wake_ns


def fail_step(connection: Connection, seen: Instance, error: str, *, again_ns: int | None, now_ns: int) -> None:
    """Let go of a row whose step failed: due again at `again_ns`, or failed where that is None.

    Raises:
        StoreRefused: lease_lost.
    """
    status = "failed" if again_ns is None else "open"
    values = (status, error, again_ns, now_ns, seen.id, seen.token, seen.step)
    if connection.execute(_FAIL, values).rowcount != 1:
        raise _lost(seen)


def renew_claims(connection: Connection, claims: Iterable[Instance], lease_until_ns: int) -> list[str]:
    """Hold rows for longer; the ids of those that are in other hands by now."""
    lost: list[str] = []
    for one in claims:
        if connection.execute(_RENEW, (lease_until_ns, one.id, one.token, one.owner)).rowcount != 1:
            lost.append(one.id)
    return lost


def release_claim(connection: Connection, claim: Instance) -> None:
    """Let go of a row whose step was not made, as if it had not been begun."""
    connection.execute(_RELEASE, (claim.id, claim.token, claim.owner))


def read_instance(connection: Connection, identifier: str) -> Instance | None:
    """One instance."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM workflows WHERE id = ?", (identifier,)).fetchone()  # noqa: S608
    return None if row is None else instance_of(row)


def read_instances(
    connection: Connection, *, tenant: str, type_name: str, status: str, before: str, limit: int
) -> list[Instance]:
    """Instances, newest first; an empty filter lets all through, `before` is the last id of the page before."""
    values = {"tenant": tenant, "type": type_name, "status": status, "before": before, "limit": limit}
    return [instance_of(row) for row in connection.execute(_LIST, values)]


def count_unhandled(connection: Connection, handled: Filter) -> list[tuple[str, int, str, int]]:
    """Open rows that nobody here takes on: type, version, state, how many."""
    statement = (
        f"SELECT type, version, state, count(*) FROM workflows WHERE status = 'open' AND NOT {handled.sql}"  # noqa: S608
        " GROUP BY type, version, state ORDER BY type, version, state"
    )
    return [(row[0], row[1], row[2], row[3]) for row in connection.execute(statement, handled.values)]


def retry_failed(connection: Connection, identifier: str, now_ns: int) -> bool:
    """Give a failed instance all its attempts again; False where there is none."""
    return connection.execute(_RETRY, (AT_ONCE, now_ns, identifier)).rowcount == 1


def forget_done(connection: Connection, before_ns: int, most: int) -> int:
    """Remove instances that were done before a time, and their signals; how many."""
    return connection.execute(_FORGET, (before_ns, most)).rowcount


def instance_of(row: Sequence[Any]) -> Instance:
    """An instance from its columns."""
    values = dict(zip(_FIELDS, row, strict=True))
    values["data"], values["waits_for"] = from_json(values["data"]), tuple(values["waits_for"].split())
    return Instance(**values)


def _with_signal(connection: Connection, instance: Instance) -> Instance:
    signal = _next_signal(connection, instance.id, instance.waits_for) if instance.waits_for else None
    return replace(instance, signal=signal)


def _next_signal(connection: Connection, identifier: str, names: Sequence[str]) -> Signal | None:
    for signal_id, name, payload in connection.execute(_UNUSED, (identifier,)):
        if name in names:
            return Signal(signal_id, name, from_json(payload))
    return None


_FIELDS = tuple(name for name in Instance.__struct_fields__ if name != "signal")
_COLUMNS = ", ".join(_FIELDS)
_START = (
    "INSERT INTO workflows (id, tenant, type, version, key, state, status, data, due_ns, started_ns, changed_ns)"
    " VALUES (?, ?, ?, ?, ?, ?, 'open', ?, ?, ?, ?) ON CONFLICT (tenant, type, key) DO NOTHING"
)
_ID = "SELECT id FROM workflows WHERE tenant = ? AND type = ? AND key = ?"
_KNOWN = "SELECT 1 FROM workflow_signals WHERE workflow = ? AND id = ?"
_KEEP = "INSERT INTO workflow_signals (tenant, workflow, id, name, payload, sent_ns) VALUES (?, ?, ?, ?, ?, ?)"
_UNUSED = "SELECT id, name, payload FROM workflow_signals WHERE workflow = ? AND used_by IS NULL ORDER BY position"
_USE = "UPDATE workflow_signals SET used_by = ? WHERE workflow = ? AND id = ?"
_DUE = "SELECT id, token FROM workflows WHERE status = 'open' AND due_ns <= ? AND (owner = '' OR lease_until_ns <= ?)"
# What is in somebody's hands, or waits to be tried again, for longer than it can be.
_STRANDED = (
    "SELECT id, token FROM workflows WHERE status = 'open' AND attempts > 0"
    " AND ((owner <> '' AND lease_until_ns > ?) OR (owner = '' AND due_ns > ?))"
)
_CLAIM = (
    "UPDATE workflows SET owner = ?, token = token + 1, attempts = attempts + 1, due_ns = ?, lease_until_ns = ?"  # noqa: S608 - constants
    f" WHERE id = ? AND token = ? AND status = 'open' RETURNING {_COLUMNS}"
)
_SEEN = "WHERE id = ? AND token = ? AND step = ? AND status = 'open' AND owner <> ''"
_APPLY = (
    "UPDATE workflows SET version = ?, state = ?, status = ?, data = ?, attempts = ?, due_ns = ?, waits_for = ?,"  # noqa: S608
    f" owner = ?, lease_until_ns = ?, changed_ns = ?, error = '', step = step + 1 {_SEEN} RETURNING {_COLUMNS}"
)
_FAIL = f"UPDATE workflows SET status = ?, error = ?, due_ns = ?, changed_ns = ?, owner = '' {_SEEN}"  # noqa: S608
_RENEW = "UPDATE workflows SET lease_until_ns = ? WHERE id = ? AND token = ? AND owner = ?"
_RELEASE = (
    "UPDATE workflows SET owner = '', attempts = attempts - 1 WHERE id = ? AND token = ? AND owner = ? AND attempts > 0"
)
_LIST = (
    f"SELECT {_COLUMNS} FROM workflows WHERE (:tenant = '' OR tenant = :tenant) AND (:type = '' OR type = :type)"  # noqa: S608
    " AND (:status = '' OR status = :status) AND (:before = '' OR id < :before) ORDER BY id DESC LIMIT :limit"
)
_RETRY = (
    "UPDATE workflows SET status = 'open', attempts = 0, due_ns = ?, changed_ns = ? WHERE id = ? AND status = 'failed'"
)
_FORGET = (
    "DELETE FROM workflows WHERE id IN"
    " (SELECT id FROM workflows WHERE status = 'done' AND changed_ns < ? ORDER BY changed_ns LIMIT ?)"
)
