"""A bill that is asked for month by month: where time is up, the step goes on behind the last month that is loaded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from convergence.domain.money import exact_text
from convergence.ports.processor import CONTINUE, SUCCESS, Context
from convergence.processors.balance import balanced
from convergence.processors.cloud.months import months, next_month

SLICE_S: Final = 60.0  # of work; then the step goes on from its checkpoint, after the month that it has begun


@dataclass(frozen=True, slots=True)
class Loaded:
    """A month that is there: rows that came, rows that are there now, and what they cost by currency."""

    rows: int
    written: int
    cost: Mapping[str, Decimal]


@dataclass(slots=True)
class _Progress:
    """What a checkpoint holds: `months` of the run are done."""

    months: int = 0
    rows: int = 0
    written: int = 0
    billed: dict[str, dict[str, str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


async def load_months(
    context: Context, table: str, load: Callable[[date, date], Awaitable[Loaded]]
) -> Mapping[str, Any]:
    """Load each month that the run's days are in with `load(month, end)`, up to yesterday (`end` is exclusive).

    Returns the step's result, or the checkpoint of a slice: a processor that returns it is `resumable`.
    """
    progress = _Progress(**context.checkpoint) if context.checkpoint else _Progress()
    over = context.now() + timedelta(seconds=SLICE_S)
    asked = months(context.start_date, context.end_date)
    for month in asked[progress.months :]:
        progress.months += 1
        end = min(next_month(month), context.now().date())
        if end <= month:
            progress.warnings.append(f"{month:%Y-%m} has no day that is over (UTC): not asked for")
            continue
        loaded = await load(month, end)
        progress.rows += loaded.rows
        progress.written += loaded.written
        progress.billed[f"{month:%Y-%m}"] = {currency: exact_text(cost) for currency, cost in loaded.cost.items()}
        context.progress(rows=progress.rows)
        if progress.months < len(asked) and context.now() >= over:
            return {"status": CONTINUE, "checkpoint": asdict(progress), "rows_staged": progress.rows}
    return {
        "status": SUCCESS,
        "rows_processed": progress.rows,
        "rows_written": progress.written,
        **balanced(progress.rows, loaded=progress.written),
        "table": table,
        "billed": progress.billed,
        "warnings": progress.warnings,
    }
