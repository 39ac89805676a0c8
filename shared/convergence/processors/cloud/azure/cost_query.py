"""`cloud.azure.cost_query`: the bill of Azure without a storage account → `cloud_azure_billing_raw_daily`, by month.

For each scope and month Cost Management is queried for the kinds of charges, then for each kind by day, meter category
and one more dimension: a request may have at most two. The cost of each kind must equal that of its groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import permutations
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from convergence.domain.money import EXACT, exact_sum
from convergence.errors import StepFailed, Transient
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter
from convergence.processors.cloud.azure.entra import connect
from convergence.processors.cloud.azure.query.pages import SERVICE, pages
from convergence.processors.cloud.azure.query.rows import DIMENSIONS, Detail, cost_of, day_of, row_of
from convergence.processors.cloud.azure.query.scope import billing_account, is_scope
from convergence.processors.cloud.monthly import Loaded, load_months
from convergence.processors.files.safeguards import check_replacement
from convergence.processors.http.client import RestClient
from convergence.processors.settings import CredentialSettings, Destination, settings, table_of

_ROUNDED: Final = Decimal("0.000001")  # at most, for each group: a sum and its parts are rounded separately
SCOPES_SQL: Final = (
    "SELECT DISTINCT source_file AS scope FROM cloud_azure_billing_raw_daily"
    " WHERE x_pipeline_id = @pipeline AND x_credential_id = @credential AND x_pipeline_run_date = @month"
)


class CostQuerySettings(CredentialSettings):
    """`scopes`: paths such as `/subscriptions/ID`; all that are queried with this credential, in one run.

    `cost_type`: as invoiced, or with reservations spread over their term. `detail`: what charges are grouped by besides
    the meter category. `billing_account_id`: who pays; by default Azure is queried. `currencies`: those that the bill
    may be in; empty: any. `allow_shrink`: a month may have fewer days or scopes than are stored.
    """

    secret: str = "azure"  # noqa: S105 - the name of a secret
    scopes: Sequence[str] = Field(min_length=1, max_length=100)
    cost_type: Literal["ActualCost", "AmortizedCost"] = "ActualCost"
    detail: Detail = "meter"
    billing_account_id: str = ""
    currencies: Sequence[str] = ()
    allow_shrink: bool = False
    api_base_url: str = "https://management.azure.com"
    token_url: str = ""

    @field_validator("scopes")
    @classmethod
    def _are_scopes(cls, value: Sequence[str]) -> Sequence[str]:
        for scope in value:
            if not is_scope(scope):
                raise ValueError(f"{scope[:80]!r} is not a scope: /subscriptions/ID, /providers/Microsoft.Billing/…")
        for outer, inner in permutations((scope.lower().rstrip("/") for scope in value), 2):
            if f"{inner}/".startswith(f"{outer}/"):
                raise ValueError(f"{inner[:80]!r} is inside {outer[:80]!r}: its costs would count twice")
        return value


class AzureCostQuery:
    """The bills of the months that the run's days are in, up to yesterday."""

    config_model = CostQuerySettings
    destination_model = Destination
    fixed_table = "cloud_azure_billing_raw_daily"
    resumable = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Load them; the result counts rows and says what each month costs, or holds the checkpoint of a slice."""
        options = settings(CostQuerySettings, step_config)
        table = table_of(step_config, self.fixed_table)
        secret = await context.secrets.open(options.secret)
        client = await connect(context, secret, options.api_base_url, token_url=options.token_url, service=SERVICE)
        accounts = {scope: await billing_account(client, scope, options.billing_account_id) for scope in options.scopes}

        async def load(month: date, end: date) -> Loaded:
            return await _Month(month, end, accounts, options).load(client, table, context)

        return {**await load_months(context, table, load), "http_retries": client.retries}


class _Month:
    """One month of some scopes, up to `end` (exclusive). `accounts`: scope → billing account."""

    def __init__(self, month: date, end: date, accounts: Mapping[str, str], options: CostQuerySettings) -> None:
        self._month, self._end, self._accounts, self._options = month, end, accounts, options
        self._currencies = frozenset(options.currencies)
        self._days = set[date]()
        self._cost: dict[str, Decimal] = {}

    async def load(self, client: RestClient, table: str, context: Context) -> Loaded:
        """Replace the month in `table`."""
        stage = context.warehouse.stage(table)
        rows, part = 0, 0
        for scope in self._accounts:
            for kind, expected in (await self._kinds(client, scope)).items():
                cost, count = Decimal(0), 0
                async for found in self._rows(client, scope, kind, context):
                    await stage.write(part, found)
                    part += 1
                    cost = exact_sum([cost, *(row["BilledCost"] for row in found)])
                    count += len(found)
                if abs(cost - expected) > _ROUNDED * (count + 1):
                    raise Transient(
                        f"{SERVICE}: {kind} of {self._month:%Y-%m} costs {expected:f} in {scope}, its groups {cost:f}:"
                        " the figures changed while they were read"
                    )
                rows += count
        await self._check(stage.schema, context)
        if not part:  # a month without charges: one empty part, so that the load has a stage
            await stage.write(0, [])
        loaded = await context.warehouse.load(stage, dates=[self._month])
        return Loaded(rows, loaded.rows_loaded, self._cost)

    async def _kinds(self, client: RestClient, scope: str) -> dict[str, Decimal]:
        """Return the kinds of charges with the total cost of each."""
        found: dict[str, Decimal] = {}
        asked = pages(client, scope, self._month, self._end, cost_type=self._options.cost_type, by=("ChargeType",))
        async for page in asked:
            for row in page:
                kind = str(row["ChargeType"])
                cost = _read(lambda row=row: cost_of(row, day_of(row, self._month, self._end)))
                found[kind] = EXACT.add(found.get(kind, Decimal(0)), cost)
        return found

    async def _rows(self, client: RestClient, scope: str, kind: str, context: Context) -> Any:
        """Yield the rows of one kind of charges, page by page."""
        detail = self._options.detail
        asked = pages(
            client,
            scope,
            self._month,
            self._end,
            cost_type=self._options.cost_type,
            by=("MeterCategory", DIMENSIONS[detail]),
            only=("ChargeType", kind),
        )
        delivered = {"delivery_id": context.run_id, "delivered_at": context.now()}
        async for page in asked:
            rows = []
            for each in page:
                day = _read(lambda each=each: day_of(each, self._month, self._end))
                row = _read(
                    lambda each=each, day=day: row_of(
                        each, day, kind, detail, scope, self._accounts[scope], self._currencies
                    )
                )
                self._days.add(day)
                currency = row["BillingCurrency"]
                self._cost[currency] = EXACT.add(self._cost.get(currency, Decimal(0)), row["BilledCost"])
                rows.append({**row, **delivered})
            yield rows

    async def _check(self, schema: Any, context: Context) -> None:
        """Raise `StepFailed` where what is stored would be replaced by fewer days or scopes, unless it may."""
        await check_replacement(
            schema,
            [self._month],
            context,
            at=context.now(),
            days=len(self._days),
            day_column="ChargePeriodStart",
            allow_shrink=self._options.allow_shrink,
        )
        given = {
            "pipeline": Parameter("STRING", context.pipeline_id),
            "credential": Parameter("STRING", context.credential_id),
            "month": Parameter("DATE", self._month),
        }
        stored = {row["scope"] for row in (await context.warehouse.query(SCOPES_SQL, given)).rows}
        gone = stored - {None, *self._accounts}
        if gone and not self._options.allow_shrink:
            raise StepFailed(
                f"{self._month:%Y-%m} has rows of {min(gone)}, which is not among config.scopes; nothing was changed."
                " Name all scopes in one run; if it was really removed, run it with allow_shrink: true"
            )


def _read(work: Any) -> Any:
    try:
        return work()
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise StepFailed(f"{SERVICE}: the answer has an unexpected shape ({error!r}); nothing was loaded") from error


def get_engine() -> AzureCostQuery:
    """Return the processor."""
    return AzureCostQuery()
