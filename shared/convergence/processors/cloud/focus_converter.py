"""`cloud.focus_converter`: bills that arrived as files → FOCUS 1.3 charges in `cost_data_standard_1_3`.

The procedure writes to `cost_data_candidate_1_3`. From there `generic.focus_gate` publishes what passes; a step whose
destination is the charges' own table, as in pipelines without a gate, publishes them unchecked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from convergence.domain.sql_names import bigquery_name
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter
from convergence.processors.balance import balanced
from convergence.processors.focus.publish import publish
from convergence.processors.focus.settings import CANDIDATES
from convergence.processors.focus.slices import slice_of
from convergence.processors.settings import Destination, Settings, settings, table_of

PROCEDURE: Final = "sp_cloud_focus_candidates_1_3"
RAW: Final = (
    "cloud_aws_billing_raw_daily",
    "cloud_azure_billing_raw_daily",
    "cloud_oci_billing_raw_daily",
    "focus_billing_daily_raw",
)


class ConverterSettings(Settings):
    """`table`: the raw table. `provider_name`: who bills, where the rows do not name it. `provider`: the pipeline's own
    by default."""

    table: Literal[
        "cloud_aws_billing_raw_daily",
        "cloud_azure_billing_raw_daily",
        "cloud_oci_billing_raw_daily",
        "focus_billing_daily_raw",
    ]
    provider_name: str
    provider: str = ""

    def uses_tables(self) -> Sequence[str]:
        """Return the tables that the procedure reads."""
        return RAW


class FocusConverter:
    """Converts the months that the run's days are in."""

    config_model = ConverterSettings
    destination_model = Destination
    fixed_table = "cost_data_standard_1_3"

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return how many charges there are, and what they sum up to."""
        options = settings(ConverterSettings, step_config)
        table = table_of(step_config, self.fixed_table)
        for name in dict.fromkeys((*RAW, CANDIDATES, self.fixed_table, table)):
            await context.warehouse.ensure_table(name)
        texts = {
            "p_org_slug": context.org_slug,
            "p_pipeline_id": context.pipeline_id,
            "p_credential_id": context.credential_id,
            "p_run_id": context.run_id,
            "p_table": options.table,
            "p_provider": options.provider or context.provider,
            "p_provider_name": options.provider_name,
        }
        arguments = {name: Parameter("STRING", text) for name, text in texts.items()}
        arguments["p_start_date"] = Parameter("DATE", context.start_date)
        arguments["p_end_date"] = Parameter("DATE", context.end_date)
        (found,) = (await context.warehouse.call(PROCEDURE, arguments, repeatable=True)).rows
        rows = found["charges"]
        if table != CANDIDATES:
            chosen = await slice_of(
                context, CANDIDATES, table, kind="bill", provider=texts["p_provider"], bill_table=options.table
            )
            rows = (await publish(context, CANDIDATES, table, chosen)).rows
        cost, read = found["billed_cost"], await self._read(options.table, context)
        return {
            "status": SUCCESS,
            "rows_processed": read,
            "rows_written": rows,
            **balanced(read, loaded=found["charges"], filtered=found["not_counted"]),
            "table": table,
            "billed_cost": None if cost is None else f"{cost:f}",
        }

    async def _read(self, raw: str, context: Context) -> int:
        """Return how many rows of the bill are of these months: each is a charge."""
        sql = (
            f"SELECT COUNT(*) AS n FROM {bigquery_name(raw)} AS t WHERE t.x_org_slug = @org_slug"  # noqa: S608 - one of RAW
            " AND t.x_pipeline_run_date BETWEEN @month AND @last"
        )
        given = {
            "org_slug": Parameter("STRING", context.org_slug),
            "month": Parameter("DATE", context.start_date.replace(day=1)),
            "last": Parameter("DATE", context.end_date),
        }
        (row,) = (await context.warehouse.query(sql, given)).rows
        return int(row["n"])


def get_engine() -> FocusConverter:
    """Return the processor."""
    return FocusConverter()
