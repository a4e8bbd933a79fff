"""What models cost whom, per UTC day: one row per agent and model, so that years of calls stay a small table."""

from __future__ import annotations

from dataclasses import dataclass

from cenoby.kernel.clock import DAY_NS, Clock
from cenoby.models.price import Charge
from cenoby.store.database import Database
from cenoby.store.engine import Connection

_ADD = """
    INSERT INTO model_usage (tenant, day, model, agent, calls, estimated_calls, input_tokens, output_tokens, micro_usd)
    VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?)
    ON CONFLICT (tenant, day, model, agent) DO UPDATE SET
        calls = model_usage.calls + 1,
        estimated_calls = model_usage.estimated_calls + excluded.estimated_calls,
        input_tokens = model_usage.input_tokens + excluded.input_tokens,
        output_tokens = model_usage.output_tokens + excluded.output_tokens,
        micro_usd = model_usage.micro_usd + excluded.micro_usd
"""
_SUM = """
    SELECT model, agent, CAST(sum(calls) AS BIGINT), CAST(sum(estimated_calls) AS BIGINT),
        CAST(sum(input_tokens) AS BIGINT), CAST(sum(output_tokens) AS BIGINT), CAST(sum(micro_usd) AS BIGINT)
    FROM model_usage
    WHERE tenant = :tenant AND day BETWEEN :first AND :last AND (CAST(:agent AS TEXT) IS NULL OR agent = :agent)
    GROUP BY model, agent
    ORDER BY sum(micro_usd) DESC, model, agent
"""


@dataclass(frozen=True, slots=True)
class UsageLine:
    """What one agent used of one model.

    Attributes:
        model: name of the model.
        agent: who asked.
        calls: calls that cost something, or may have.
        estimated_calls: those among them whose provider reported no tokens; they count at their upper bounds.
        input_tokens, output_tokens: tokens charged.
        micro_usd: the cost.
    """

    model: str
    agent: str
    calls: int
    estimated_calls: int
    input_tokens: int
    output_tokens: int
    micro_usd: int


class UsageBook:
    """Adds up charges.

    Args:
        database: where they last.
        clock: its wall time says which UTC day a charge belongs to.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @property
    def today(self) -> int:
        """The current UTC day, counted from the Unix epoch."""
        return self._clock.now_ns() // DAY_NS

    async def add(self, tenant: str, agent: str, model: str, charge: Charge) -> None:
        """Count one call; durable when it returns.

        Raises:
            StoreUnavailable: it could not be made durable.
        """
        row = (tenant, self.today, model, agent, int(charge.estimated))
        row += (charge.input_tokens, charge.output_tokens, charge.micro_usd)

        def work(connection: Connection) -> None:
            connection.execute(_ADD, row)

        await self._database.write(work)

    async def lines(self, tenant: str, first_day: int, last_day: int, agent: str | None = None) -> list[UsageLine]:
        """Sums over some days, both ends included, the dearest first.

        Args:
            tenant: whose agents.
            first_day, last_day: UTC days, counted from the Unix epoch.
            agent: one of them; None means all.
        """
        bounds = {"tenant": tenant, "first": first_day, "last": last_day, "agent": agent}

        def work(connection: Connection) -> list[UsageLine]:
            return [UsageLine(*row) for row in connection.execute(_SUM, bounds)]

        return await self._database.read(work)
