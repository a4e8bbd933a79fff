"""Events of the store."""

from __future__ import annotations

from cenoby.kernel.events import Event


class PayloadErased(Event, frozen=True, tag="payload_erased.v1"):
    """The payload of the record `causation` was destroyed on purpose; the chain still verifies."""


class WorkflowFailed(Event, frozen=True, tag="workflow_failed.v1"):
    """A step of a workflow failed too often; its instance stays until a person retries it.

    Attributes:
        type, version: which workflow, and which version of it.
        state, step, attempts: where the instance stands, and how often the step was tried.
    """

    type: str
    version: int
    state: str
    step: int
    attempts: int


class CacheDivergence(Event, frozen=True, tag="cache_divergence.v1"):
    """What a process held of a table was not what the database had; the database's rows hold now.

    Attributes:
        table: which.
        rows: how many were other ones, missing or too many.
        keys: the keys of the first of them.
    """

    table: str
    rows: int
    keys: tuple[str, ...]
