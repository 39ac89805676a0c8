"""DeepSeek's balance: the only figure on cost that its API gives (api-docs.deepseek.com, Get User Balance)."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import orjson

from convergence.sandbox.http import Request, Response

KEY: Final = "sk-deepseek-sandbox"
PATH: Final = "/v1/user/balance"
BALANCES: Final = [
    {"currency": "CNY", "total_balance": "110.00", "granted_balance": "10.00", "topped_up_balance": "100.00"},
    {"currency": "USD", "total_balance": "48.72", "granted_balance": "0.00", "topped_up_balance": "48.72"},
]


class Account:
    """The prepaid balance of one account."""

    def __init__(self) -> None:
        self._spent = {one["currency"]: Decimal(0) for one in BALANCES}

    def spend(self, currency: str, amount: Decimal) -> None:
        """Let the balance fall; a negative amount is a top-up."""
        self._spent[currency] += amount

    def answer(self, request: Request) -> Response:
        """Answer GET /user/balance; amounts are text."""
        if request.headers.get("authorization") != f"Bearer {KEY}":
            message = "Authentication Fails, Your api key is invalid"
            return Response(401, orjson.dumps({"error": {"message": message, "type": "authentication_error"}}))
        infos = [{**one, **self._less(one)} for one in BALANCES]
        return Response(200, orjson.dumps({"is_available": True, "balance_infos": infos}))

    def _less(self, one: dict[str, str]) -> dict[str, str]:
        spent = self._spent[one["currency"]]
        names = ("total_balance", "topped_up_balance")
        return {name: f"{Decimal(one[name]) - spent:f}" for name in names}
