"""Sums and texts of money keep every digit; Python's own keep 28."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import convergence
from convergence.domain.money import exact_sum, exact_text

LONG = Decimal("12345678901234567890.123456789012345678")  # 38 digits, as BIGNUMERIC has and more than NUMERIC


def test_a_sum_and_its_text_keep_more_than_28_digits() -> None:
    assert str(exact_sum([LONG, LONG])) == "24691357802469135780.246913578024691356"
    assert exact_text(LONG) == "12345678901234567890.123456789012345678"
    assert [exact_text(Decimal(text)) for text in ("1.500", "1E+3", "0.000", "-2.10")] == ["1.5", "1000", "0", "-2.1"]


def test_no_number_is_normalised_to_28_digits() -> None:
    package = Path(convergence.__file__).parent
    assert [str(file) for file in package.rglob("*.py") if ".normalize()" in file.read_text("utf-8")] == []
