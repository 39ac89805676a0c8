"""What a provider lists of provisioned throughput, as it is today, beside the commitments that the org recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Row
from convergence.processors.balance import balanced
from convergence.processors.genai.commitment_terms import CommitmentEditor

NAMED_MAX: Final = 10  # warnings of a run


async def store(context: Context, table: str, rows: Sequence[Row], warnings: Sequence[str]) -> Mapping[str, Any]:
    """Replace the rows of today by `rows`; return the step's result."""
    today = context.now().date()
    stage = context.warehouse.stage(table)
    await stage.write(0, [{**row, "listed_on": today} for row in rows])
    loaded = await context.warehouse.load(stage, dates=[today], date_field="listed_on")
    return {
        "status": SUCCESS,
        "rows_processed": len(rows),
        "rows_written": loaded.rows_loaded,
        "table": stage.table,
        **balanced(len(rows), loaded=loaded.rows_loaded),
        "warnings": list(warnings[:NAMED_MAX]),
    }


async def committed(context: Context, provider: str) -> dict[str, int]:
    """Return the units that the org's commitments have today, by the resource that they serve."""
    today, found = context.now().date(), dict[str, int]()
    for each in (await CommitmentEditor().stored(context)).values():
        if each.provider == provider and each.resource is not None and each.covers(today):
            found[each.resource] = found.get(each.resource, 0) + each.units
    return found


def differences(listed: Mapping[str, int], bought: Mapping[str, int], thing: str, unit: str) -> Iterator[str]:
    """Yield where the units of what is listed are not those of the commitments, both by resource."""
    for name in sorted(listed.keys() | bought.keys()):
        if listed.get(name) != bought.get(name):
            has, ours = listed.get(name, "no"), bought.get(name, "no")
            yield f"the {thing} {name!r} has {has} {unit}, the commitments have {ours} {unit} for it"
