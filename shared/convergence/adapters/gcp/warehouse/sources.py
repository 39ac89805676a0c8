"""Where a load reads its rows: a staging table, or a parameter of its statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from convergence.adapters.gcp.warehouse.row_parameters import PARAMETER_BYTES, RowsParameter
from convergence.adapters.gcp.warehouse.stage import BigQueryStage
from convergence.domain.sql_names import bigquery_name

STAGE = "x_stage"


class Source(NamedTuple):
    """`sql` follows FROM."""

    sql: str
    parameter: RowsParameter | None = None


async def sources_of(stages: Sequence[BigQueryStage]) -> list[Source]:
    """Return the stages that have rows: as parameters if all together are few, otherwise as tables, flushed."""
    given = [stage.as_parameter(f"rows_{number}") for number, stage in enumerate(stages)]
    parameters = [each for each in given if each is not None]
    if len(parameters) == len(stages) and sum(stage.waiting_bytes for stage in stages) <= PARAMETER_BYTES:
        return [Source(each.sql, each) for each in parameters]
    for stage in stages:
        await stage.flush()
    return [Source(bigquery_name(stage.path)) for stage in stages if not await stage.is_empty()]


def union(sources: Sequence[Source]) -> str:
    """Return the query of all rows, each with the number of its source."""
    return " UNION ALL ".join(
        f"SELECT {number} AS {STAGE}, * FROM {source.sql}" for number, source in enumerate(sources)
    )
