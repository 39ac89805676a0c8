"""Every charge leads to the raw rows it was made from, and to the lines of the bill."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from convergence.sandbox import bill
from tests.e2e.conftest import ROOT
from tests.e2e.demo_all.conftest import Everything


def chain_statements(charge: str) -> list[str]:
    text = (ROOT / "docs/data.md").read_text("utf-8").partition("## From a charge to its raw rows")[2]
    blocks = [part.partition("```")[0] for part in text.partition("\n## ")[0].split("```sql\n")[1:]]
    return [block.replace("CHARGE", charge) for block in blocks]


def one_charge(everything: Everything, where: str) -> dict[str, Any]:
    sql = f"SELECT * FROM cost_data_standard_1_3 WHERE {where} ORDER BY x_ChargeId LIMIT 1"
    (row,) = everything.json("query", "demo", sql)["rows"]
    return dict(row)


def test_a_computed_charge_is_walked_to_its_raw_rows_and_the_bill(everything: Everything) -> None:
    charge = one_charge(everything, "x_Provider = 'openai' AND x_Model = 'gpt-4o' AND x_ChargeKind = 'input'")
    answers = [everything.json("query", "demo", sql)["rows"] for sql in chain_statements(charge["x_ChargeId"])]
    assert [len(rows) for rows in answers[:2]] == [1, 1]
    ((found,), (raw,), bill_lines) = answers
    assert found == charge
    # Loaded by the extraction, charged by another pipeline.
    assert (raw["x_pipeline_id"], charge["x_pipeline_id"]) == (
        "demo-openai-cost-cost-extract",
        "demo-openai-cost-cost-calculation",
    )
    assert Decimal(charge["ConsumedQuantity"]) == raw["input_tokens"] - raw["input_cached_tokens"] - (
        raw["input_cache_write_tokens"] or 0
    )
    same = [
        charge.amount
        for charge in bill.charges(*of_day(date.fromisoformat(raw["usage_date"])))
        if charge.line_item == "gpt-4o, input"
    ]
    assert sum(Decimal(line["amount"]) for line in bill_lines) == sum(same, Decimal(0)) > 0
    chain = everything.json("trace", "demo", charge["x_ChargeId"])
    assert chain["charge"] == charge
    assert chain["raw"] == {"table": "openai_usage_daily_raw", "rows": [raw]}
    assert chain["bill"]["table"] == "openai_billing_daily_raw"
    shown = sorted(str(line) for line in chain["bill"]["rows"])
    assert shown == sorted(
        str({name: value for name, value in line.items() if name not in {"class", "difference"}}) for line in bill_lines
    )
    screen = everything.call("trace", "demo", charge["x_ChargeId"]).stdout
    assert "Made from: 1 rows of openai_usage_daily_raw" in screen
    assert "rows of openai_billing_daily_raw" in screen


SOURCES = "SELECT DISTINCT x_Provider AS provider, x_SourceTable AS source FROM cost_data_standard_1_3 ORDER BY 1, 2"
# Raw tables whose rows are a bill's, one for each charge, but identical ones.
OF_BILLS = {"focus_billing_daily_raw", *(f"cloud_{cloud}_billing_raw_daily" for cloud in ("aws", "azure", "oci"))}


def test_a_charge_of_every_source_is_walked_to_its_raw_rows(everything: Everything) -> None:
    sources = [(row["provider"], row["source"]) for row in everything.json("query", "demo", SOURCES)["rows"]]
    assert {"aws", "azure", "oci", "focus", "gcp", "saas", "commitment", "openai", "anthropic", "openrouter"} <= {
        provider for provider, _ in sources
    }
    for provider, source in sources:
        charge = one_charge(everything, f"x_Provider = '{provider}' AND x_SourceTable = '{source}'")
        _, made_from, _ = chain_statements(charge["x_ChargeId"])
        if source == "subscriptions":  # as the text says of contracts
            made_from = made_from.partition("AND raw.x_credential_id")[0]
        rows = everything.json("query", "demo", made_from.replace("openai_usage_daily_raw", source))["rows"]
        assert rows, (provider, source)
        chain = everything.json("trace", "demo", charge["x_ChargeId"])
        assert (chain["charge"], chain["raw"]) == (charge, {"table": source, "rows": rows})
        if source in OF_BILLS:
            assert {(row["BilledCost"], row["BillingCurrency"]) for row in rows} == {
                (charge["BilledCost"], charge["BillingCurrency"])
            }
            shown = everything.call("trace", "demo", charge["x_ChargeId"]).stdout
            assert f"Made from: {len(rows)} rows of {source}" in shown
            assert "The bill itself" in shown


def test_every_charge_names_raw_rows_that_are_there(everything: Everything) -> None:
    missing = "SELECT COUNT(*) AS n FROM cost_data_standard_1_3 WHERE COALESCE(x_SourceRowId, '') = ''"
    assert everything.json("query", "demo", missing)["rows"] == [{"n": 0}]
    tables = {row["source"] for row in everything.json("query", "demo", SOURCES)["rows"]}
    for table in tables:
        sql = (
            "SELECT charge.x_ChargeId AS charge, COUNT(raw.row_id) AS n FROM cost_data_standard_1_3 AS charge"
            f" CROSS JOIN UNNEST(SPLIT(charge.x_SourceRowId, ' ')) AS id LEFT JOIN {table} AS raw ON raw.row_id = id"
            f" AND raw.x_pipeline_id = charge.x_SourcePipelineId WHERE charge.x_SourceTable = '{table}'"
            " GROUP BY charge.x_ChargeId, id HAVING COUNT(raw.row_id) = 0"
        )
        assert everything.json("query", "demo", sql)["rows"] == [], table
    for table in OF_BILLS:
        charged = (
            f"SELECT x_SourceRowId AS id, SUM(BilledCost) AS cost FROM cost_data_standard_1_3"
            f" WHERE x_SourceTable = '{table}' GROUP BY id ORDER BY id"
        )
        billed = f"SELECT row_id AS id, SUM(BilledCost) AS cost FROM {table} GROUP BY id ORDER BY id"
        found = everything.json("query", "demo", charged)["rows"]
        assert found == everything.json("query", "demo", billed)["rows"] != [], table


def of_day(day: date) -> tuple[int, int]:
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    return start, start + 86_400


@pytest.mark.parametrize(
    ("where", "table", "amount"),
    [
        ("x_Provider = 'gemini' AND ChargeCategory = 'Usage'", "genai_billing_daily_raw", "cost"),
        ("x_Provider = 'azure_openai'", "genai_billing_daily_raw", "cost"),
        ("x_DifferenceClass = 'missing_price'", "openai_billing_daily_raw", "amount"),
        ("x_UsageKind = 'subscription'", "subscriptions", None),
    ],
)
def test_every_other_charge_is_traced_to_its_raw_rows(
    everything: Everything, where: str, table: str, amount: str | None
) -> None:
    charge = one_charge(everything, where)
    chain = everything.json("trace", "demo", charge["x_ChargeId"])
    assert (chain["raw"]["table"], chain["bill"]) == (table, None)
    assert chain["raw"]["rows"]
    if amount is not None:
        grants = sum(Decimal(row.get("grants") or 0) for row in chain["raw"]["rows"])
        billed = sum(Decimal(row[amount]) for row in chain["raw"]["rows"]) - grants
        assert billed == Decimal(charge["BilledCost"])


def test_a_charge_that_is_not_there_is_an_error(everything: Everything) -> None:
    refused = everything.call("trace", "demo", "none", "--json", code=2)
    assert "demo has no charge 'none'" in json.loads(refused.stderr)["error"]["message"]
