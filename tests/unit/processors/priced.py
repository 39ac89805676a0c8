"""Priced usage, as `genai_cost_daily_unified` has it."""

from __future__ import annotations

from typing import Any

from tests.unit.processors.step_world import FIRST

COST: dict[str, Any] = {
    "usage_date": FIRST.isoformat(),
    "service_name": "An API",
    "provider_name": "Somebody",
    "billing_account_id": "acme",
    "project_id": "p",
    "usage_kind": "messages",
    "model": "m/1",
    "charge_kind": "input",
    "processing": "standard",
    "above_input_tokens": 0,
    "consumed_quantity": 1_000_000,
    "consumed_unit": "Tokens",
    "pricing_quantity": 1,
    "pricing_unit": "1000000 Tokens",
    "currency": "USD",
    "price_basis": "list",
}


def charge(provider: str, price: str, price_id: str) -> dict[str, Any]:
    """Return a cost at a price."""
    return {**COST, "provider": provider, "unit_price": price, "cost": price, "price_id": price_id}
