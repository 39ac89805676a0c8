"""What statements on BigQuery cost on demand, as an estimate."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

LIST_PRICE_TIB: Final = Decimal("6.25")  # US dollars, on demand, region us, as of November 2026
_TIB: Final = 2**40
_CENT: Final = Decimal("0.01")
_FINER: Final = Decimal("0.000001")


def query_cost(size: int, usd_per_tib: Decimal) -> str:
    """Return the US dollars for the bytes that statements read, in cents; below one cent, with six digits.

    The minimum that BigQuery bills for a table (10 MB) and its free TiB a month are not considered.
    """
    cost = Decimal(size) * usd_per_tib / _TIB
    return f"{cost.quantize(_CENT if cost >= _CENT or not cost else _FINER):f}"
