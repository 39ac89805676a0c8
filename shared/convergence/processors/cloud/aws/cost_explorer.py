"""`cloud.aws.cost_explorer`: the bill of AWS without a bucket → `cloud_aws_billing_raw_daily`, a month at a time.

For each month AWS is queried for the kinds of charges and their accounts, then for each kind by day, service and one
more dimension: a request may have at most two. The cost of each kind must equal that of its groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from convergence.domain.money import EXACT
from convergence.errors import Transient
from convergence.ports.aws_accounts import AwsApi
from convergence.ports.processor import Context
from convergence.processors.cloud.aws.explorer.query import COST, EFFECTIVE, QUANTITY, groups, record_types
from convergence.processors.cloud.aws.explorer.rows import Detail, row_of
from convergence.processors.cloud.monthly import Loaded, load_months
from convergence.processors.files.safeguards import check_replacement
from convergence.processors.settings import CredentialSettings, Destination, settings, table_of

_DIMENSIONS: Final[Mapping[Detail, str]] = {"usage_type": "USAGE_TYPE", "linked_account": "LINKED_ACCOUNT"}
_ROUNDED: Final = Decimal("0.000001")  # at most, for each group: AWS rounds a sum and its parts separately


class CostExplorerSettings(CredentialSettings):
    """`detail`: what charges are grouped by besides the service: usage type or account.

    `currencies`: those that the bill may be in; empty: any. `allow_shrink`: a month may have fewer days than are
    stored. `url`: a stand-in for AWS on this machine.
    """

    secret: str = "aws"  # noqa: S105 - the name of a secret
    detail: Detail = "usage_type"
    currencies: Sequence[str] = ()
    allow_shrink: bool = False
    url: str = ""


class CostExplorerBills:
    """The bills of the months that the run's days are in, up to yesterday."""

    config_model = CostExplorerSettings
    destination_model = Destination
    fixed_table = "cloud_aws_billing_raw_daily"
    resumable = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Load them; the result counts rows and says what each month costs, or holds the checkpoint of a slice."""
        options = settings(CostExplorerSettings, step_config)
        table = table_of(step_config, self.fixed_table)
        secret = await context.secrets.open(options.secret)
        identity = await (await context.aws.open("sts", secret, url=options.url)).call("get_caller_identity", {})
        api = await context.aws.open("ce", secret, url=options.url)

        async def load(month: date, end: date) -> Loaded:
            return await _Month(month, end, str(identity["Account"]), options).load(api, table, context)

        return await load_months(context, table, load)


class _Month:
    """One month of one account, up to `end` (exclusive)."""

    def __init__(self, month: date, end: date, account: str, options: CostExplorerSettings) -> None:
        self._month, self._end, self._account, self._options = month, end, account, options
        self._currencies = frozenset(options.currencies)
        self._cost: dict[str, Decimal] = {}

    async def load(self, api: AwsApi, table: str, context: Context) -> Loaded:
        """Replace the month in `table`."""
        stage = context.warehouse.stage(table)
        rows, part, days = 0, 0, set[date]()
        kinds = await record_types(api, self._month, self._end)
        accounts = set().union(*(whole.accounts for whole in kinds.values()))
        member = next(iter(accounts)) if len(accounts) == 1 else None
        for kind, whole in kinds.items():
            cost, count = Decimal(0), 0
            by = ("SERVICE", _DIMENSIONS[self._options.detail])
            pages = groups(
                api, self._month, self._end, by=by, metrics=(COST, EFFECTIVE, QUANTITY), only=("RECORD_TYPE", kind)
            )
            async for page in pages:
                delivered = {"delivery_id": context.run_id, "delivered_at": context.now()}
                found = [
                    {**row_of(group, kind, self._options.detail, self._account, self._currencies, member), **delivered}
                    for group in page
                ]
                await stage.write(part, found)
                part += 1
                days |= {group.day for group in page}
                for row in found:
                    cost = EXACT.add(cost, row["BilledCost"])
                    self._cost[row["BillingCurrency"]] = EXACT.add(
                        self._cost.get(row["BillingCurrency"], Decimal(0)), row["BilledCost"]
                    )
                count += len(found)
            if abs(cost - whole.cost) > _ROUNDED * (count + whole.figures):
                raise Transient(
                    f"Cost Explorer: {kind} of {self._month:%Y-%m} costs {whole.cost:f}, its groups {cost:f}: the"
                    " figures changed while they were read"
                )
            rows += count
        await check_replacement(
            stage.schema,
            [self._month],
            context,
            at=context.now(),
            days=len(days),
            day_column="ChargePeriodStart",
            allow_shrink=self._options.allow_shrink,
        )
        if not part:  # a month without charges: one empty part, so that the load has a stage
            await stage.write(0, [])
        loaded = await context.warehouse.load(stage, dates=[self._month])
        return Loaded(rows, loaded.rows_loaded, self._cost)


def get_engine() -> CostExplorerBills:
    """Return the processor."""
    return CostExplorerBills()
