"""The mission's subscription procedures, as they stand in configs/."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.unit.googlesql.conftest import NOW, GoogleSql

from convergence.config.files.schemas.folder import TableSchemas
from convergence.errors import StepFailed
from convergence.ports.warehouse import Lineage, Parameter, QueryResult, Routine, Scope

CONFIGS = Path(__file__).parents[3] / "configs"
LINEAGE = Lineage(org_slug="acme", pipeline_id="p", credential_id="", run_id="r1", ingested_at=NOW)
SCOPE = Scope(dataset="d", writable=True, lineage=LINEAGE)


@pytest.fixture
def books() -> Iterator[GoogleSql]:
    sql = GoogleSql()
    files = sorted((CONFIGS / "system" / "procedures" / "subscription").glob("*.sql"))
    texts = {file.stem: file.read_text(encoding="utf-8") for file in files}
    sql.wait(sql.warehouse.sync_routines([Routine(name, "1", f"{name}.sql", text) for name, text in texts.items()]))
    schemas = TableSchemas(CONFIGS)
    for table in ("subscriptions", "subscription_cost_daily"):
        sql.wait(sql.warehouse.ensure_table("d", schemas.get(table)))
    yield sql
    sql.close()


def subscribe(
    sql: GoogleSql, name: str, *, seats: int = 3, price: str = "25", starts: str = "2026-01-01", ends: str | None = None
) -> None:
    ends_on = f"DATE '{ends}'" if ends else "NULL"
    sql.query(
        "INSERT INTO subscriptions (subscription_id, provider, plan, seat_type, seats, billing_cycle,"
        " price_per_seat_month, currency, starts_on, ends_on, x_pipeline_run_date) VALUES"
        f" ('{name}', 'openai', 'Business', 'standard', {seats}, 'monthly', {price}, 'USD', DATE '{starts}',"
        f" {ends_on}, DATE '2026-01-01')",
        scope=SCOPE,
    )


def amortise(sql: GoogleSql, start: date, end: date) -> QueryResult:
    texts = {"p_org_slug": "acme", "p_pipeline_id": "p", "p_credential_id": "", "p_run_id": "r1"}
    arguments: dict[str, Any] = {name: Parameter("STRING", value) for name, value in texts.items()}
    arguments |= {"p_start_date": Parameter("DATE", start), "p_end_date": Parameter("DATE", end)}
    return sql.call("sp_subscription_amortise", scope=SCOPE, **arguments)


@pytest.mark.parametrize(("month", "days"), [(1, 31), (2, 28), (4, 30)])
def test_the_days_of_a_month_add_up_to_its_price(books: GoogleSql, month: int, days: int) -> None:
    subscribe(books, "chatgpt", seats=7, price="29.99")
    result = amortise(books, date(2026, month, 1), date(2026, month, days))
    assert result.rows == [{"charges": days, "cost": Decimal("209.93")}]


def test_a_part_of_a_month_pays_for_its_own_days(books: GoogleSql) -> None:
    subscribe(books, "chatgpt", seats=1, price="31", starts="2026-01-10", ends="2026-01-19")
    assert amortise(books, date(2026, 1, 1), date(2026, 1, 31)).rows == [{"charges": 10, "cost": Decimal(10)}]


def test_doing_it_again_leaves_the_same_rows(books: GoogleSql) -> None:
    subscribe(books, "chatgpt")
    first = amortise(books, date(2026, 1, 1), date(2026, 1, 31))
    assert amortise(books, date(2026, 1, 1), date(2026, 1, 31)) == first
    assert books.rows("SELECT COUNT(*), SUM(cost) FROM subscription_cost_daily") == [(31, Decimal(75))]


def test_all_mistakes_are_named_at_once_and_nothing_is_written(books: GoogleSql) -> None:
    subscribe(books, "a", seats=0)
    subscribe(books, "b", starts="2026-02-01", ends="2026-01-01")
    subscribe(books, "c", starts="2026-01-01")
    subscribe(books, "c", starts="2026-03-01", price="30")
    expected = (
        "subscriptions are wrong: a: 0 seats; b: ends on 2026-01-01, before it starts;"
        " c: two prices for standard seats from 2026-03-01 on"
    )
    with pytest.raises(StepFailed, match=expected):
        amortise(books, date(2026, 1, 1), date(2026, 1, 31))
    assert books.rows("SELECT COUNT(*) FROM subscription_cost_daily") == [(0,)]


def test_a_range_that_ends_before_it_starts_is_refused(books: GoogleSql) -> None:
    with pytest.raises(StepFailed, match="ends before it starts"):
        amortise(books, date(2026, 2, 1), date(2026, 1, 1))
