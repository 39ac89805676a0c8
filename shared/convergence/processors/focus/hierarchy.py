"""Assigns each candidate its node of the org's hierarchy, in one place for the charges of all sources."""

from __future__ import annotations

from typing import Final

from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter
from convergence.processors.focus.slices import Slice

PROCEDURE: Final = "sp_focus_assign_hierarchy"


async def assign_hierarchy(context: Context, chosen: Slice) -> int:
    """Fill the x_hierarchy_ columns of the slice's candidates; return how many have a node."""
    bill = chosen.given.get("bill_table", Parameter("STRING", ""))
    arguments = {
        "p_org_slug": chosen.given["org_slug"],
        "p_pipeline_id": chosen.given["pipeline_id"],
        "p_credential_id": chosen.given["credential_id"],
        "p_bill_table": bill,
        "p_start_date": chosen.given["first_day"],
        "p_end_date": chosen.given["last_day"],
    }
    (found,) = (await context.warehouse.call(PROCEDURE, arguments, repeatable=True)).rows
    return int(found["assigned"])
