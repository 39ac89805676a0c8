"""The columns of bills that are not in FOCUS form: raw table column → its names in the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Columns = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form of a bill. `source_format`: what the converter calls it; `delivery`: how its files are found.

    `late_days`: see `FileSettings`. `period`: the period of a row is in BillingPeriodStart (`named`), or it is that of
    the row's usage (`usage`).
    """

    source_format: Literal["focus", "aws_cur", "azure_cost", "oci_cost"]
    delivery: Literal["listing", "aws_export", "aws_cur", "azure_export"]
    columns: Columns = field(default_factory=dict)
    date_formats: Mapping[str, str] = field(default_factory=dict)
    period: Literal["named", "usage"] = "named"
    late_days: int = 0


# https://docs.aws.amazon.com/cur/latest/userguide/data-dictionary.html (before /) and table-dictionary-cur2.html.
CUR: Final[Columns] = {
    "BilledCost": ("lineItem/UnblendedCost", "line_item_unblended_cost"),
    "BillingAccountId": ("bill/PayerAccountId", "bill_payer_account_id"),
    "BillingAccountName": ("bill/PayerAccountName", "bill_payer_account_name"),
    "BillingCurrency": ("lineItem/CurrencyCode", "line_item_currency_code"),
    "BillingPeriodStart": ("bill/BillingPeriodStartDate", "bill_billing_period_start_date"),
    "BillingPeriodEnd": ("bill/BillingPeriodEndDate", "bill_billing_period_end_date"),
    "ChargePeriodStart": ("lineItem/UsageStartDate", "line_item_usage_start_date"),
    "ChargePeriodEnd": ("lineItem/UsageEndDate", "line_item_usage_end_date"),
    "ChargeDescription": ("lineItem/LineItemDescription", "line_item_line_item_description"),
    "InvoiceId": ("bill/InvoiceId", "bill_invoice_id"),
    "InvoiceIssuerName": ("bill/InvoicingEntity", "bill_invoicing_entity"),
    "SubAccountId": ("lineItem/UsageAccountId", "line_item_usage_account_id"),
    "SubAccountName": ("lineItem/UsageAccountName", "line_item_usage_account_name"),
    "ConsumedQuantity": ("lineItem/UsageAmount", "line_item_usage_amount"),
    "PricingUnit": ("pricing/unit", "pricing_unit"),
    "ListCost": ("pricing/publicOnDemandCost", "pricing_public_on_demand_cost"),
    "ListUnitPrice": ("pricing/publicOnDemandRate", "pricing_public_on_demand_rate"),
    "ServiceName": ("product/ProductName", "product_product_name"),
    "SkuId": ("product/sku", "product_sku"),
    "SkuPriceId": ("pricing/RateCode", "pricing_rate_code"),
    "RegionId": ("product/regionCode", "product_region_code"),
    "AvailabilityZone": ("lineItem/AvailabilityZone", "line_item_availability_zone"),
    "ResourceId": ("lineItem/ResourceId", "line_item_resource_id"),
    "Tags": ("resource_tags",),
    "line_type": ("lineItem/LineItemType", "line_item_line_item_type"),
    "pricing_model": ("pricing/term", "pricing_term"),
    "product_code": ("lineItem/ProductCode", "line_item_product_code"),
    "reservation_id": ("reservation/ReservationARN", "reservation_reservation_a_r_n"),
    "reservation_effective_cost": ("reservation/EffectiveCost", "reservation_effective_cost"),
    "reservation_unused_upfront": (
        "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod",
        "reservation_unused_amortized_upfront_fee_for_billing_period",
    ),
    "reservation_unused_recurring": ("reservation/UnusedRecurringFee", "reservation_unused_recurring_fee"),
    "savings_plan_id": ("savingsPlan/SavingsPlanARN", "savings_plan_savings_plan_a_r_n"),
    "savings_plan_effective_cost": (
        "savingsPlan/SavingsPlanEffectiveCost",
        "savings_plan_savings_plan_effective_cost",
    ),
    "savings_plan_commitment": ("savingsPlan/TotalCommitmentToDate", "savings_plan_total_commitment_to_date"),
    "savings_plan_used": ("savingsPlan/UsedCommitment", "savings_plan_used_commitment"),
}

# https://learn.microsoft.com/azure/cost-management-billing/dataset-schema/cost-usage-details-ea (and -mca).
AZURE: Final[Columns] = {
    "BilledCost": ("CostInBillingCurrency", "costInBillingCurrency", "Cost"),
    "BillingAccountId": ("BillingAccountId", "billingAccountId"),
    "BillingAccountName": ("BillingAccountName", "billingAccountName"),
    "BillingCurrency": ("BillingCurrencyCode", "BillingCurrency", "billingCurrency"),
    "BillingPeriodStart": ("BillingPeriodStartDate", "billingPeriodStartDate"),
    "ChargePeriodStart": ("Date", "date"),
    "ChargeDescription": ("Product", "ProductName", "productName"),
    "ChargeFrequency": ("Frequency", "frequency"),
    "SubAccountId": ("SubscriptionId", "subscriptionId"),
    "SubAccountName": ("SubscriptionName", "subscriptionName"),
    "ConsumedQuantity": ("Quantity", "quantity"),
    "PricingUnit": ("UnitOfMeasure", "unitOfMeasure"),
    "ServiceName": ("MeterCategory", "meterCategory"),
    "ServiceSubcategory": ("MeterSubCategory", "meterSubCategory"),
    "SkuId": ("MeterId", "meterId"),
    "SkuMeter": ("MeterName", "meterName"),
    "RegionId": ("ResourceLocation", "resourceLocation"),
    "AvailabilityZone": ("AvailabilityZone", "availabilityZone"),
    "ResourceId": ("ResourceId", "resourceId"),
    "ResourceName": ("ResourceName", "resourceName"),
    "Tags": ("Tags", "tags"),
    "CommitmentDiscountName": ("benefitName", "ReservationName", "reservationName"),
    "reservation_id": ("benefitId", "ReservationId", "reservationId"),
    "line_type": ("ChargeType", "chargeType"),
    "pricing_model": ("PricingModel", "pricingModel"),
    "product_code": ("MeterCategory", "meterCategory"),
    "InvoiceId": ("InvoiceId", "invoiceId"),
}

# https://docs.oracle.com/iaas/Content/Billing/Concepts/usagereportsoverview.htm
OCI: Final[Columns] = {
    "BilledCost": ("cost/myCost",),
    "BillingAccountId": ("lineItem/tenantId",),
    "BillingCurrency": ("cost/currencyCode",),
    "ChargePeriodStart": ("lineItem/intervalUsageStart",),
    "ChargePeriodEnd": ("lineItem/intervalUsageEnd",),
    "ChargeDescription": ("product/Description",),
    "SubAccountId": ("product/compartmentId",),
    "SubAccountName": ("product/compartmentName",),
    "ConsumedQuantity": ("usage/billedQuantity",),
    "ConsumedUnit": ("cost/skuUnitDescription",),
    "ContractedUnitPrice": ("cost/unitPrice",),
    "PricingUnit": ("cost/billingUnitReadable",),
    "ServiceName": ("product/service",),
    "SkuId": ("cost/productSku",),
    "RegionId": ("product/region",),
    "AvailabilityZone": ("product/availabilityDomain",),
    "ResourceId": ("product/resourceId",),
    "product_code": ("product/service",),
    "is_correction": ("lineItem/isCorrection",),
}

AWS_FORMS: Final[Mapping[str, Form]] = {
    "focus": Form(source_format="focus", delivery="aws_export"),
    "cur_2": Form(source_format="aws_cur", delivery="aws_export", columns=CUR),
    "cur_legacy": Form(source_format="aws_cur", delivery="aws_cur", columns=CUR),
}
_US_DATES: Final = {"BillingPeriodStart": "%m/%d/%Y", "ChargePeriodStart": "%m/%d/%Y"}
AZURE_FORMS: Final[Mapping[str, Form]] = {
    "focus": Form(source_format="focus", delivery="azure_export"),
    "cost": Form(source_format="azure_cost", delivery="azure_export", columns=AZURE, date_formats=_US_DATES),
}
LATE_DAYS: Final = 3  # reports are up to a day late, and late rows arrive in later reports
OCI_FORMS: Final[Mapping[str, Form]] = {
    "focus": Form(source_format="focus", delivery="listing", late_days=LATE_DAYS),
    "cost": Form(source_format="oci_cost", delivery="listing", columns=OCI, period="usage", late_days=LATE_DAYS),
}
