"""What statements on BigQuery cost, as text of US dollars."""

from __future__ import annotations

from decimal import Decimal

import pytest

from convergence.domain.query_cost import LIST_PRICE_TIB, query_cost

TIB = 2**40


@pytest.mark.parametrize(
    ("size", "price", "expected"),
    [
        (TIB, LIST_PRICE_TIB, "6.25"),
        (3 * TIB // 2, LIST_PRICE_TIB, "9.38"),
        (2**30, LIST_PRICE_TIB, "0.006104"),
        (0, LIST_PRICE_TIB, "0.00"),
        (TIB, Decimal(0), "0.00"),
        (10**18, LIST_PRICE_TIB, "5684341.89"),
    ],
)
def test_the_cost_of_bytes(size: int, price: Decimal, expected: str) -> None:
    assert query_cost(size, price) == expected
