"""A bill that is requested month by month: when time is up, the step continues after the last month that was loaded."""

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

SLICE_S: Final = 60.0  # of work; after the month in progress the step then pauses, and continues from its checkpoint


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded month: rows that came, rows that are stored now, and their cost by currency."""

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
    """Load each month that contains days of the run with `load(month, end)`, up to yesterday (`end` is exclusive).

    Returns the step's result, or the checkpoint of a slice: a processor that returns it is `resumable`.
    """
    progress = _Progress(**context.checkpoint) if context.checkpoint else _Progress()
    over = context.now() + timedelta(seconds=SLICE_S)
    asked = months(context.start_date, context.end_date)
    for month in asked[progress.months :]:
        progress.months += 1
        end = min(next_month(month), context.now().date())
        if end <= month:
            progress.warnings.append(f"{month:%Y-%m} has no day that is over (UTC): not requested")
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
