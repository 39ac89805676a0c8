"""DeepSeek's balance: the only figure on cost that its API gives (api-docs.deepseek.com, Get User Balance)."""

from __future__ import annotations

from typing import Final

import orjson

from convergence.sandbox.http import Request, Response

KEY: Final = "sk-deepseek-sandbox"
PATH: Final = "/v1/user/balance"
BALANCES: Final = [
    {"currency": "CNY", "total_balance": "110.00", "granted_balance": "10.00", "topped_up_balance": "100.00"},
    {"currency": "USD", "total_balance": "48.72", "granted_balance": "0.00", "topped_up_balance": "48.72"},
]


def answer(request: Request) -> Response:
    """Answer GET /user/balance; amounts are text."""
    if request.headers.get("authorization") != f"Bearer {KEY}":
        message = "Authentication Fails, Your api key is invalid"
        return Response(401, orjson.dumps({"error": {"message": message, "type": "authentication_error"}}))
    return Response(200, orjson.dumps({"is_available": True, "balance_infos": BALANCES}))
