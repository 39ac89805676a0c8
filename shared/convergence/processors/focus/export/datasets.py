"""The data sets of FOCUS 1.3 and 1.4, column by column (https://focus.finops.org/focus-specification/)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from convergence.ports.warehouse import LINEAGE_COLUMNS, TableSchema

Version = Literal["1.3", "1.4"]
Kind = Literal["STRING", "DECIMAL", "TIMESTAMP", "DATE"]
COST_AND_USAGE: Final = "CostAndUsage"
_KINDS: Final[dict[str, Kind]] = {
    "BIGNUMERIC": "DECIMAL",
    "NUMERIC": "DECIMAL",
    "TIMESTAMP": "TIMESTAMP",
    "DATE": "DATE",
}
# Columns of 1.4 that no pipeline fills, because their facts are not in what providers send.
NEW_IN_1_4: Final = ("CommitmentProgramEligibilityDetails", "InvoiceDetailId")
REMOVED_IN_1_4: Final = frozenset({"ProviderName", "PublisherName"})
# Columns that FOCUS does not allow to be null, in either version.
# fmt: off
_NEEDED: Final = frozenset(
    {
        "BilledCost", "BillingAccountId", "BillingAccountType", "BillingCurrency", "BillingPeriodEnd",
        "BillingPeriodStart", "ChargeCategory", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart",
        "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingCurrency",
        "PricingCurrencyEffectiveCost", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
        "ServiceProviderName", "ServiceSubcategory",
    }
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a data set. `needed`: FOCUS does not allow null. `stored`: a table of ours has it."""

    name: str
    kind: Kind = "STRING"
    needed: bool = False
    stored: bool = True


def cost_and_usage(table: TableSchema, version: Version) -> tuple[Field, ...]:
    """Return the columns of Cost and Usage, those of FOCUS in the order of their names, then ours, without lineage."""
    removed = REMOVED_IN_1_4 if version == "1.4" else frozenset()
    known = [
        Field(column.name, _KINDS.get(column.type, "STRING"), column.name in _NEEDED)
        for column in table.columns
        if column.name not in LINEAGE_COLUMNS and column.name not in removed
    ]
    new = [Field(name, stored=False) for name in NEW_IN_1_4] if version == "1.4" else []
    focus = sorted((each for each in (*known, *new) if not is_custom(each)), key=lambda each: each.name)
    return (*focus, *filter(is_custom, known))


def is_custom(field: Field) -> bool:
    """Return whether a column is one of ours, which come after those of FOCUS."""
    return field.name.startswith("x_")
