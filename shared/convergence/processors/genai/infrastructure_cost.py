"""`genai.infrastructure_cost`: what GPU hours cost, by day, account and model → `genai_infrastructure_costs_daily`.

The cost is part of the bills, which have it in FOCUS: this table adds nothing to it. What a GPU hour costs is effective
cost divided by hours, those of unused reservations apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter
from convergence.processors.base import days, row_id
from convergence.processors.genai.infrastructure_usage import ROWS_MAX
from convergence.processors.genai.infrastructure_usage import TABLE as USAGE
from convergence.processors.settings import Destination, Settings, settings
from convergence.processors.subscription.periods import EXACT, SHARE

TABLE: Final = "genai_infrastructure_costs_daily"
_KEY: Final = ("usage_date", "provider", "account_id", "sub_account_id", "region", "service", "gpu_model", "is_unused",
               "currency")  # fmt: skip
_GROUPS: Final = ", ".join(_KEY)
# If the hours of a part are unknown, so are those of the sum.
_SQL: Final = f"""
SELECT {_GROUPS}, IF(COUNTIF(gpu_hours IS NULL) > 0, NULL, SUM(gpu_hours)) AS gpu_hours,
  SUM(billed_cost) AS billed_cost, SUM(effective_cost) AS effective_cost,
  IF(COUNTIF(list_cost IS NULL) > 0, NULL, SUM(list_cost)) AS list_cost
FROM {USAGE}
WHERE x_org_slug = @org AND x_pipeline_id = @pipeline_id AND x_credential_id = @credential_id
  AND x_pipeline_run_date BETWEEN @first AND @last
GROUP BY {_GROUPS}
"""  # noqa: S608 - constants of this file


class InfrastructureCostProcessor:
    """The usage that this pipeline has loaded for the run's days."""

    config_model = Settings
    destination_model = Destination
    fixed_table = TABLE

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Replace the days of the run."""
        settings(Settings, step_config)
        await context.warehouse.ensure_table(USAGE)
        first, last = context.start_date, context.end_date
        texts = {"org": context.org_slug, "pipeline_id": context.pipeline_id, "credential_id": context.credential_id}
        parameters = {name: Parameter("STRING", text) for name, text in texts.items()}
        parameters |= {"first": Parameter("DATE", first), "last": Parameter("DATE", last)}
        most = ROWS_MAX * len(days(first, last))  # no more than the rows of usage
        found = (await context.warehouse.query(_SQL, parameters, rows_max=most)).rows
        rows = [
            {**row, "cost_per_gpu_hour": _ratio(row["effective_cost"], row["gpu_hours"]), "row_id": row_id(row, _KEY)}
            for row in found
        ]
        stage = context.warehouse.stage(TABLE)
        await stage.write(0, rows)
        loaded = await context.warehouse.load(stage, dates=days(first, last), date_field="usage_date")
        return {
            "status": SUCCESS,
            "rows_processed": len(rows),
            "rows_written": loaded.rows_loaded,
            "table": TABLE,
        }


def _ratio(cost: Any, hours: Any) -> Any:
    return EXACT.divide(cost, hours).quantize(SHARE, context=EXACT) if hours else None


def get_engine() -> InfrastructureCostProcessor:
    """Return the processor."""
    return InfrastructureCostProcessor()
