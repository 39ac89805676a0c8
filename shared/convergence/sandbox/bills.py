"""Bills of clouds and of a vendor as FOCUS files, one for each month: figures made up, the same each time."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from convergence.sandbox.http import Request, Response

_PATH: Final = re.compile(r"/v1/bills/(aws|azure|oci|focus)/(\d{4})-(0[1-9]|1[0-2])\.csv")
HEAD: Final = (
    "BilledCost,EffectiveCost,ListCost,ListUnitPrice,ContractedCost,ContractedUnitPrice,BillingAccountId,BillingCurrency,"
    "BillingPeriodStart,BillingPeriodEnd,ChargeCategory,ChargeDescription,ChargeFrequency,ChargePeriodStart,"
    "ChargePeriodEnd,ProviderName,PublisherName,InvoiceIssuerName,ServiceName,ServiceCategory,PricingQuantity,PricingUnit,"
    "PricingCategory,ConsumedQuantity,ConsumedUnit,SkuId,SkuPriceId,SkuMeter,HostProviderName\n"
)


class Service(NamedTuple):
    """What is charged each day: so many hours at a price."""

    name: str
    sku: str
    category: str
    price: Decimal


PROVIDERS: Final = {"aws": "AWS", "azure": "Microsoft", "oci": "Oracle", "focus": "MongoDB"}
SERVICES: Final = {
    "aws": (
        Service("Amazon Elastic Compute Cloud", "T3HOURS", "Compute", Decimal("0.0416")),
        Service("Amazon Elastic Compute Cloud", "BoxUsage:g5.12xlarge", "Compute", Decimal("5.672")),
    ),
    "azure": (Service("Virtual Machines", "B2SHOURS", "Compute", Decimal("0.0384")),),
    "oci": (Service("COMPUTE", "B97384", "Compute", Decimal("0.0255")),),
    "focus": (Service("Atlas", "M10HOURS", "Databases", Decimal("0.08")),),
}


def is_ours(path: str) -> bool:
    """Return whether a request is for a bill."""
    return _PATH.fullmatch(path) is not None


def answer(request: Request) -> Response:
    """Answer with the file of a month."""
    found = _PATH.fullmatch(request.path)
    assert found is not None, "is_ours says so"
    text = HEAD + "".join(_lines(found[1], date(int(found[2]), int(found[3]), 1)))
    written = {"last-modified": "Sat, 21 Nov 2026 09:00:00 GMT"}
    return Response(200, text.encode(), written, content_type="text/csv")


def billed(bill: str, month: date) -> Decimal:
    """Return the whole of a bill."""
    days = monthrange(month.year, month.month)[1]
    return sum((_cost(service, day) for service in SERVICES[bill] for day in range(1, days + 1)), Decimal(0))


def _lines(bill: str, month: date) -> list[str]:
    days = monthrange(month.year, month.month)[1]
    provider, following = PROVIDERS[bill], month + timedelta(days=days)
    return [
        f"{_cost(service, number)},{_cost(service, number)},{_cost(service, number)},{service.price},"
        f"{_cost(service, number)},{service.price},{bill}-account,USD,{month}T00:00:00Z,{following}T00:00:00Z,Usage,"
        f"{service.name},Usage-Based,{month + timedelta(days=number - 1)}T00:00:00Z,"
        f"{month + timedelta(days=number)}T00:00:00Z,{provider},{provider},{provider},{service.name},"
        f"{service.category},{_hours(number)},Hours,Standard,{_hours(number)},Hours,"
        f"{service.sku},{service.sku},Instance Hours,{provider}\n"
        for service in SERVICES[bill]
        for number in range(1, days + 1)
    ]


def _hours(day: int) -> int:
    return 24 + day % 5


def _cost(service: Service, day: int) -> Decimal:
    return service.price * _hours(day)
