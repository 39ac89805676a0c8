"""`genai.unified`: usage and cost of all LLM providers and credentials → `genai_usage_cost_daily_unified`.

Provider, credential and day are one slice, taken from the pipeline that wrote it last: nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter
from convergence.processors.focus.precedence import SUPERSEDED
from convergence.processors.settings import Destination, Settings, settings, table_of

PROCEDURE: Final = "sp_genai_consolidate_unified"
# An org has only the tables of providers that it uses; the procedure reads all, so the others are created empty.
SOURCES: Final = (
    *("openai_cost_daily", "anthropic_cost_daily", "genai_billing_daily_raw", "genai_metrics_daily_raw"),
    *("genai_residual_daily_reconciled", "genai_cost_daily_unified"),
)
FOCUS: Final = "cost_data_standard_1_3"
LEFT_OUT_SQL: Final = """
SELECT mine.provider, mine.x_credential_id AS credential_id,
  MIN(mine.x_pipeline_run_date) AS first_day, MAX(mine.x_pipeline_run_date) AS last_day
FROM genai_cost_daily_unified AS mine
WHERE mine.x_pipeline_run_date BETWEEN @first AND @last
  AND NOT EXISTS (
    SELECT 1
    FROM genai_usage_cost_daily_unified AS kept
    WHERE kept.provider = mine.provider
      AND kept.source_credential_id = mine.x_credential_id
      AND kept.usage_date = mine.x_pipeline_run_date
  )
GROUP BY provider, credential_id
ORDER BY provider, credential_id
"""


class UnifiedProcessor:
    """Calls the procedure for the days of the run."""

    config_model = Settings
    destination_model = Destination
    fixed_table = "genai_usage_cost_daily_unified"

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return rows and cost by provider and currency."""
        settings(Settings, step_config)
        table = table_of(step_config, self.fixed_table)
        for name in (*SOURCES, FOCUS, SUPERSEDED, table):
            await context.warehouse.ensure_table(name)
        texts = {
            "p_org_slug": context.org_slug,
            "p_pipeline_id": context.pipeline_id,
            "p_credential_id": context.credential_id,
            "p_run_id": context.run_id,
        }
        days = {"p_start_date": context.start_date, "p_end_date": context.end_date}
        arguments = {name: Parameter("STRING", text) for name, text in texts.items()}
        arguments |= {name: Parameter("DATE", day) for name, day in days.items()}
        answer = await context.warehouse.call(PROCEDURE, arguments, repeatable=True)
        return {
            "status": SUCCESS,
            "rows_processed": answer.rows_affected,
            "rows_written": answer.rows_affected,
            "table": table,
            "warnings": await _left_out(context),
            "providers": [{**row, "cost": None if row["cost"] is None else f"{row['cost']:f}"} for row in answer.rows],
        }


async def _left_out(context: Context) -> list[str]:
    """Name the credentials whose usage another one has charged: FOCUS refused it, so it counts once here as well."""
    bounds = {"first": Parameter("DATE", context.start_date), "last": Parameter("DATE", context.end_date)}
    return [
        f"{row['provider']}, {row['first_day']} to {row['last_day']}: left out the credential {row['credential_id']};"
        " another one of the same account has already charged this usage"
        for row in (await context.warehouse.query(LEFT_OUT_SQL, bounds)).rows
    ]


def get_engine() -> UnifiedProcessor:
    """Return the processor."""
    return UnifiedProcessor()
