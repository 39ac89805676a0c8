"""The scope of a cost query: a subscription, a resource group, a management group, a billing account or a part of it.

Source: Cost Management REST API, Query - Usage (scopes).
"""

from __future__ import annotations

import re
from typing import Final

from convergence.errors import StepFailed
from convergence.processors.http.client import RestClient

_GUID: Final = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ACCOUNT: Final = re.compile(r"/providers/Microsoft\.Billing/billingAccounts/[\w:.-]{1,150}", re.IGNORECASE)
_SCOPE: Final = re.compile(
    rf"/subscriptions/{_GUID}(?:/resourceGroups/[\w.()-]{{1,90}})?"
    r"|/providers/Microsoft\.Management/managementGroups/[\w.()-]{1,90}"
    r"|/providers/Microsoft\.Billing/billingAccounts/[\w:.-]{1,150}"
    r"(?:/(?:billingProfiles|departments|enrollmentAccounts|customers)/[\w:.-]{1,150})?"
    r"(?:/invoiceSections/[\w:.-]{1,150})?",
    re.IGNORECASE,
)
_PROPERTY_VERSION: Final = "2020-05-01"  # of Billing Property - Get


def is_scope(text: str) -> bool:
    """Return whether `text` is the path of a scope."""
    return _SCOPE.fullmatch(text) is not None


def subscription_of(scope: str) -> str | None:
    """Return the id of the subscription that a scope is in; None for one above subscriptions."""
    return scope.split("/")[2].lower() if scope.lower().startswith("/subscriptions/") else None


async def billing_account(client: RestClient, scope: str, given: str) -> str:
    """Return the billing account that pays for `scope`: its own, the one that is `given`, or what Azure reports.

    Raises `StepFailed` if Azure does not report it, as for an Enterprise Agreement or a management group.
    """
    found = _ACCOUNT.match(scope)
    if found is not None:
        return found[0]
    if given:
        return given
    subscription = subscription_of(scope)
    if subscription is None:
        raise StepFailed(f"{scope} does not say which billing account pays for it: set config.billing_account_id")
    path = f"/subscriptions/{subscription}/providers/Microsoft.Billing/billingProperty/default"
    try:
        answer = await client.get(path, (("api-version", _PROPERTY_VERSION),))
        return str(answer["properties"]["billingAccountId"])
    except (StepFailed, KeyError, TypeError) as error:
        raise StepFailed(
            f"Azure does not say which billing account pays for {scope} ({error}): set config.billing_account_id"
        ) from error
