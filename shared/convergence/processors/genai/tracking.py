"""`org_cost_tracking`: how our cost differs from the bill per day and model, and whether that needs attention.

Pure: rows of a reconciliation in, rows of the table and warnings for the run out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from convergence.domain.money import EXACT, exact_sum, exact_text

TRACKING: Final = "org_cost_tracking"
MATCHED, WITHIN, LATE, OVER = "matched", "within", "late", "over"
SHOWN_MAX: Final = 5

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A difference is over it when it exceeds both: `amount` of money, and `ratio` of the bill (of our cost where
    nothing is billed)."""

    amount: Decimal
    ratio: Decimal

    def exceeded(self, difference: Decimal, billed: Decimal | None, computed: Decimal | None) -> bool:
        """Whether the difference needs attention."""
        whole = abs(billed or computed or Decimal(0))
        return abs(difference) > self.amount and abs(difference) > self.ratio * whole


def tracked(rows: Iterable[Row], provider: str, threshold: Threshold, now: datetime) -> list[dict[str, Any]]:
    """Sum the rows of a reconciliation (one for each kind of charge) by day and model."""
    groups: dict[tuple[date, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["usage_date"], row["model"] or "", row["currency"]].append(row)
    return [_tracked(key, group, provider, threshold, now) for key, group in sorted(groups.items())]


def _tracked(
    key: tuple[date, str, str], group: Sequence[Row], provider: str, threshold: Threshold, now: datetime
) -> dict[str, Any]:
    day, model, currency = key
    billed, computed = _sum(group, "provider_cost"), _sum(group, "computed_cost")
    difference = exact_sum(row["difference"] for row in group)
    parts: dict[str, Decimal] = defaultdict(Decimal)
    for row in group:
        parts[row["reason"]] = EXACT.add(parts[row["reason"]], row["difference"].copy_abs())
    # The largest part; if nothing differs, the row that is not a plain match.
    reason = max(sorted(parts), key=lambda part: (parts[part], part != "match"))
    largest = max((row for row in group if row["reason"] == reason), key=lambda row: abs(row["difference"]))
    state = MATCHED if all(row["reason"] == "match" for row in group) else WITHIN
    if threshold.exceeded(difference, billed, computed) or any(
        threshold.exceeded(row["difference"], billed, computed) for row in group
    ):
        state = LATE if reason == "late_data" else OVER
    return {
        "usage_date": day,
        "provider": provider,
        "model": model or None,
        "billed_cost": billed,
        "computed_cost": computed,
        "difference": difference,
        "currency": currency,
        "class": reason,
        "explanation": largest["explanation"],
        "state": state,
        "threshold_amount": threshold.amount,
        "threshold_ratio": threshold.ratio,
        "checked_at": now,
    }


def _sum(rows: Iterable[Row], column: str) -> Decimal | None:
    values = [row[column] for row in rows if row[column] is not None]
    return exact_sum(values) if values else None


def warnings(rows: Sequence[Row], threshold: Threshold) -> list[str]:
    """Describe what is over the threshold, the largest first, and what is late; nothing if all is well."""
    message = []
    for state, what in ((OVER, "differ from the bill"), (LATE, "wait for late data; run these days again")):
        found = sorted((row for row in rows if row["state"] == state), key=lambda row: -abs(row["difference"]))
        if found:
            shown = "; ".join(_words(row) for row in found[:SHOWN_MAX])
            more = f"; {len(found) - SHOWN_MAX} more in {TRACKING}" if len(found) > SHOWN_MAX else ""
            message.append(
                f"{len(found)} of {len(rows)} days and models {what}, by more than {threshold.amount:f}"
                f" {found[0]['currency']} and {exact_text(threshold.ratio * 100)} %: {shown}{more}"
            )
    return message


def _words(row: Row) -> str:
    billed, computed = (
        "nothing" if row[name] is None else f"{row[name].quantize(Decimal('0.0001')):f}"
        for name in ("billed_cost", "computed_cost")
    )
    return f"{row['usage_date']} {row['model'] or '-'}: billed {billed}, computed {computed} ({row['class']})"
