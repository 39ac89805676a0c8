"""`genai.focus`: charges of LLM providers, or of seats, as FOCUS 1.3 → `cost_data_standard_1_3`.

Writes what the procedures read besides the charges: the providers' names from the registry, and for usage that was
priced here what the bill has beyond it. Then it calls the procedure, which writes to `cost_data_candidate_1_3`, and one
that finds each charge's place in the org's hierarchy. From there `generic.focus_gate` publishes what passes; a step
whose destination is the charges' own table, as in pipelines without a gate, publishes them unchecked.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal

from convergence.config.files.providers import load_providers
from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter
from convergence.processors.base import days
from convergence.processors.focus.hierarchy import assign_hierarchy
from convergence.processors.focus.precedence import SUPERSEDED
from convergence.processors.focus.publish import publish
from convergence.processors.focus.settings import CANDIDATES
from convergence.processors.focus.slices import slice_of
from convergence.processors.genai.residuals import residual_rows
from convergence.processors.settings import Destination, Settings, settings, table_of

NAMES: Final = "focus_providers"
# Raw rows of an account from which another credential's charges are made, too, whether these count or another source's
# do. An account that is not known (the org's slug is there) is not compared.
TWICE_SQL: Final = """
SELECT other.x_credential_id AS credential_id, other.BillingAccountId AS account_id,
  MIN(other.x_pipeline_run_date) AS first_day, MAX(other.x_pipeline_run_date) AS last_day
FROM genai_cost_daily_unified AS mine
JOIN (
  SELECT x_Provider, BillingAccountId, x_pipeline_run_date, x_SourceTable, x_SourceRowId, x_credential_id
  FROM cost_data_standard_1_3
  WHERE x_pipeline_run_date BETWEEN @first AND @last
  UNION ALL
  SELECT x_Provider, BillingAccountId, x_pipeline_run_date, x_SourceTable, x_SourceRowId, x_credential_id
  FROM cost_data_superseded
  WHERE x_pipeline_run_date BETWEEN @first AND @last
) AS other
  ON other.x_Provider = mine.provider
  AND other.BillingAccountId = mine.billing_account_id
  AND other.x_pipeline_run_date = mine.x_pipeline_run_date
  AND other.x_SourceTable = mine.source_table
  AND other.x_SourceRowId = mine.source_row_id
WHERE mine.provider = @provider
  AND mine.x_pipeline_id = @pipeline_id
  AND mine.x_credential_id = @credential_id
  AND mine.x_pipeline_run_date BETWEEN @first AND @last
  AND mine.billing_account_id <> @org_slug
  AND other.x_credential_id <> @credential_id
GROUP BY credential_id, account_id
ORDER BY credential_id, account_id
LIMIT 1
"""
RESIDUALS: Final = "genai_residual_daily_reconciled"
# Kind of charge → procedure, tables that it reads.
PROCEDURES: Final = {
    "usage": ("sp_genai_focus_candidates_1_3", ("genai_cost_daily_unified", RESIDUALS)),
    "seats": ("sp_subscription_focus_candidates_1_3", ("subscription_cost_daily",)),
}


class FocusSettings(Settings):
    """`kind`: charges of usage, or of seats. `provider`: the pipeline's own by default."""

    kind: Literal["usage", "seats"] = "usage"
    provider: str = ""


class FocusProcessor:
    """Converts the days of the run."""

    config_model = FocusSettings
    destination_model = Destination
    fixed_table = "cost_data_standard_1_3"

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return how many charges there are, and the residuals by class.

        Raises `StepFailed` for a provider whose registry entry has no `focus` names, and for usage that another
        credential has charged already.
        """
        options = settings(FocusSettings, step_config)
        table = table_of(step_config, self.fixed_table)
        procedure, tables = PROCEDURES[options.kind]
        for name in (*tables, NAMES, "org_cost_tracking", CANDIDATES, SUPERSEDED, self.fixed_table, table):
            await context.warehouse.ensure_table(name)
        provider = options.provider or context.provider
        await self._load_names(provider, context)
        classes: dict[str, Decimal] = {}
        if options.kind == "usage":
            await self._refuse_usage_of_another_credential(provider, context)
            classes = await self._load_residuals(provider, context)
        texts = {
            "p_org_slug": context.org_slug,
            "p_pipeline_id": context.pipeline_id,
            "p_credential_id": context.credential_id,
            "p_run_id": context.run_id,
        }
        dates = {"p_start_date": context.start_date, "p_end_date": context.end_date}
        arguments = {name: Parameter("STRING", text) for name, text in texts.items()}
        arguments |= {name: Parameter("DATE", day) for name, day in dates.items()}
        answer = await context.warehouse.call(procedure, arguments, repeatable=True)
        rows = answer.rows_affected
        if table != CANDIDATES:  # otherwise the gate does the rest
            chosen = await slice_of(context, CANDIDATES, table, kind=options.kind, provider=provider)
            await assign_hierarchy(context, chosen)
            rows = (await publish(context, CANDIDATES, table, chosen)).rows
        return {
            "status": SUCCESS,
            "rows_processed": answer.rows_affected,
            "rows_written": rows,
            "table": table,
            "residuals": {name: f"{amount:f}" for name, amount in sorted(classes.items())},
        }

    async def _load_names(self, provider: str, context: Context) -> None:
        registry = load_providers(context.configs_dir)
        rows = [
            {
                "provider": provider,
                "service_provider_name": facts.focus.service_provider,
                "invoice_issuer_name": facts.focus.invoice_issuer,
                "publisher_name": facts.focus.publisher,
                "host_provider_name": facts.focus.host_provider,
                "service_name": facts.focus.service,
                "billing_account_type": facts.focus.billing_account_type,
                "sub_account_type": facts.focus.sub_account_type,
            }
            for provider, facts in sorted(registry.providers.items())
            if facts.focus is not None
        ]
        if not any(row["provider"] == provider for row in rows):
            raise StepFailed(
                f"the provider {provider!r} has no `focus` names: add them to system/providers.yml, or to its"
                " own provider.yml"
            )
        stage = context.warehouse.stage(NAMES)
        await stage.write(0, rows)
        await context.warehouse.load(stage, dates=None)

    async def _refuse_usage_of_another_credential(self, provider: str, context: Context) -> None:
        """Stop before two keys of one account count its usage twice."""
        texts = {
            "provider": provider,
            "pipeline_id": context.pipeline_id,
            "credential_id": context.credential_id,
            "org_slug": context.org_slug,
        }
        parameters = {name: Parameter("STRING", text) for name, text in texts.items()}
        parameters |= {"first": Parameter("DATE", context.start_date), "last": Parameter("DATE", context.end_date)}
        for other in (await context.warehouse.query(TWICE_SQL, parameters)).rows:
            raise StepFailed(
                f"{provider} account {other['account_id']}, {other['first_day']} to {other['last_day']}: these charges"
                f" are there already, of the credential {other['credential_id']}, and would count twice. Store the key"
                " under the name of that credential (which rotates it), or remove the charges of one of the two"
            )

    async def _load_residuals(self, provider: str, context: Context) -> dict[str, Decimal]:
        rows = await residual_rows(provider, context)
        stage = context.warehouse.stage(RESIDUALS)
        await stage.write(0, rows)
        await context.warehouse.load(
            stage,
            dates=days(context.start_date, context.end_date),
            date_field="usage_date",
            repeatable=True,
            source={"provider": provider},
        )
        classes: dict[str, Decimal] = {}
        for row in rows:
            if row["difference"]:
                classes[row["class"]] = classes.get(row["class"], Decimal(0)) + row["difference"]
        return classes


def get_engine() -> FocusProcessor:
    """Return the processor."""
    return FocusProcessor()
