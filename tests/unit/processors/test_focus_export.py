"""`generic.focus_export`: whole billing periods as files: exact, replaced as a whole, and open about the unknown."""

from __future__ import annotations

import hashlib
import json
import subprocess
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from convergence.errors import InvalidInput, StepFailed, Transient
from convergence.processors.focus.export.bundle import COMMITMENTS, Bundle
from convergence.processors.focus.export.deliver import Export
from convergence.processors.genai.commitments.focus_terms import known_terms
from convergence.processors.generic import focus_export
from convergence.processors.generic.focus_export import StepSource, get_engine
from tests.referees.opinions import required
from tests.unit.processors.focus_exports import (
    NOVEMBER,
    SCHEMA,
    STATED,
    bundle,
    charge,
    commit,
    data_file,
    december,
    export,
    invoice,
    manifest,
    names_of,
    rows_of,
    store,
    world,
)
from tests.unit.processors.step_world import WorldContext

FOCUS_1_3 = (Path(__file__).parents[2] / "repo/focus_1_3_columns.txt").read_text().splitlines()


def test_both_versions_have_their_columns_and_exact_sums(tmp_path: Path) -> None:
    tiny = Decimal("0.00000000000001")
    charges = [charge(x_ChargeId="1"), charge(x_ChargeId="2", BilledCost=tiny, ChargeDescription='a "b",\nc')]

    async def work(context: WorldContext) -> None:
        await store(context, charges)
        for version in ("1.3", "1.4"):
            result = await export(context, version=version, format="csv")
            assert (result["rows_written"], result["periods"]) == (2, [f"exports/{version}/2026-11"])

    world(tmp_path, work)
    older, newer = rows_of(bundle(tmp_path, "1.3")), rows_of(bundle(tmp_path))
    focus = [name for name in older[0] if not name.startswith("x_")]
    assert focus == [line.split()[0] for line in FOCUS_1_3 if line and not line.startswith("#")]
    added = {"InvoiceDetailId", "CommitmentProgramEligibilityDetails"}
    assert set(newer[0]) - set(older[0]) == added
    assert set(older[0]) - set(newer[0]) == {"ProviderName", "PublisherName"}
    assert [name for name in newer[0] if not name.startswith("x_")] == sorted(
        {*focus, *added} - {"ProviderName", "PublisherName"}
    )
    assert not {"x_run_id", "x_ingested_at"} & set(newer[0]), "a run that changes no charge changes no file"
    assert sum(Decimal(row["BilledCost"]) for row in newer) == 6 + tiny
    assert newer[1]["ChargeDescription"] == 'a "b",\nc'
    assert newer[0]["BillingPeriodStart"] == "2026-11-01T00:00:00Z"
    facts = manifest(bundle(tmp_path))["datasets"]["CostAndUsage"]
    assert facts["sums"] == {"USD": {"BilledCost": "6.00000000000001", "EffectiveCost": "12"}}
    assert {each["column"] for each in facts["unknown"]} == added
    assert not manifest(bundle(tmp_path, "1.3"))["datasets"]["CostAndUsage"]["unknown"]


def test_parquet_has_the_same_values_with_types(tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        await store(context, [charge(x_ChargeId="1", BilledCost=Decimal("1.5")), charge(x_ChargeId="2", RegionId="")])
        await export(context)

    world(tmp_path, work)
    file = data_file(bundle(tmp_path))
    facts = manifest(file.parent)["datasets"]["CostAndUsage"]
    assert facts["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(
            f"SELECT BilledCost, BillingPeriodStart, RegionId, typeof(ListUnitPrice) FROM '{file}' ORDER BY x_ChargeId"
        ).fetchall()
    start = datetime(2026, 11, 1, tzinfo=UTC)
    assert found == [(Decimal("1.5"), start, None, "DECIMAL(38,14)"), (Decimal(6), start, None, "DECIMAL(38,14)")]


def test_a_period_is_replaced_as_a_whole_and_others_stay(tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        context.end_date = date(2026, 12, 31)
        await store(context, [charge(x_ChargeId="1"), december(x_ChargeId="2", BilledCost=Decimal(9))])
        await export(context, format="csv")
        assert [row["x_ChargeId"] for row in rows_of(bundle(tmp_path, month="2026-12"))] == ["2"]
        await store(context, [december(x_ChargeId="3")])
        context.end_date = date(2026, 11, 30)
        for name in ("CostAndUsage.parquet", "InvoiceDetail.csv", "CostAndUsage-notes.csv"):
            (bundle(tmp_path) / name).touch()
        for _ in range(2):
            await export(context, format="parquet")
            found = sorted(path.name for path in bundle(tmp_path).iterdir())
            exported = str(manifest(bundle(tmp_path))["datasets"]["CostAndUsage"]["file"])
            assert found == sorted([exported, "CostAndUsage-notes.csv", "manifest.json"]), (
                "the CSV of November is gone, and files of earlier releases; others stay"
            )
        assert "CostAndUsage.parquet" in names_of(bundle(tmp_path))
        assert manifest(bundle(tmp_path))["datasets"]["CostAndUsage"]["rows"] == 0
        assert [row["x_ChargeId"] for row in rows_of(bundle(tmp_path, month="2026-12"))] == ["2"]

    world(tmp_path, work)


def test_where_time_is_up_it_goes_on_with_the_next_period(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(focus_export, "SLICE_S", 0.0)

    async def work(context: WorldContext) -> None:
        await store(context, [charge(), december(x_ChargeId="other")])
        context.end_date = date(2026, 12, 5)
        first = await export(context, version="1.3", format="csv")
        assert (first["status"], first["rows_staged"]) == ("CONTINUE", 1)
        assert rows_of(bundle(tmp_path, "1.3"))
        assert not bundle(tmp_path, "1.3", "2026-12").exists()
        context.checkpoint = json.loads(json.dumps(first["checkpoint"]))
        last = await export(context, version="1.3", format="csv")
        assert (last["status"], last["rows_processed"]) == ("SUCCESS", 2)
        assert last["periods"] == ["exports/1.3/2026-11", "exports/1.3/2026-12"]
        assert [row["x_ChargeId"] for row in rows_of(bundle(tmp_path, "1.3", "2026-12"))] == ["other"]

    world(tmp_path, work)


def test_what_is_unknown_or_rounded_is_said_and_never_invented(tmp_path: Path) -> None:
    price = Decimal("0.123456789012345678")
    charges = [charge(x_ChargeId="1", ListCost=None, ListUnitPrice=price, BilledCost=Decimal("1E-16"))]

    async def work(context: WorldContext) -> None:
        await store(context, charges)
        await export(context, format="csv")

    world(tmp_path, work)
    facts = manifest(bundle(tmp_path))["datasets"]["CostAndUsage"]
    assert {"column": "ListCost", "rows": 1, "reason": "what is stored has no value"} in facts["unknown"]
    (row,) = rows_of(bundle(tmp_path))
    assert (row["ListCost"], row["ListUnitPrice"], row["BilledCost"]) == ("", "0.12345678901235", "0")
    assert facts["rounded"] == [
        {"column": "BilledCost", "values": 1, "difference": "-0.0000000000000001"},
        {"column": "ListUnitPrice", "values": 1, "difference": "0.000000000000004322"},
    ]


def test_large_days_come_in_pages_and_a_change_while_they_are_read_is_an_error(tmp_path: Path) -> None:
    charges = [charge(x_ChargeId=f"{number:03}") for number in range(25)]

    class Pages(StepSource):
        page_rows = 10
        meddle = False

        async def rows(self, sql: str) -> Any:
            found = await super().rows(sql)
            if self.meddle and "OFFSET 10" in sql:
                assert isinstance(self._context, WorldContext)
                await store(self._context, charges[:24])
            return found

    async def work(context: WorldContext) -> None:
        await store(context, charges)
        await context.warehouse.ensure_table(COMMITMENTS)
        source, folder = Pages(context), tmp_path / "out"
        folder.mkdir()
        whole = Bundle(org="acme", month=date(2026, 11, 1), version="1.4", format="csv", table=SCHEMA)
        await whole.write(source, folder, context.now())
        assert sorted(row["x_ChargeId"] for row in rows_of(folder)) == [each["x_ChargeId"] for each in charges]
        source.meddle = True
        with pytest.raises(Transient, match="2026-11 changed while they were read"):
            await whole.write(source, folder, context.now())

    world(tmp_path, work)


def test_periods_are_bounded() -> None:
    def months(first: date, last: date) -> list[date]:
        return Export(org="acme", first=first, last=last, version="1.4", format="csv", table=SCHEMA).months()

    assert months(date(2026, 11, 30), date(2027, 1, 1)) == [date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1)]
    with pytest.raises(InvalidInput, match="has no day"):
        months(date(2026, 11, 1), date(2026, 10, 31))
    with pytest.raises(InvalidInput, match="at most 120"):
        months(date(2000, 1, 1), date(2000, 1, 1) + timedelta(days=366 * 11))


def test_a_folder_outside_of_the_orgs_is_refused(tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        with pytest.raises(StepFailed, match="outside of the org's folder"):
            await get_engine().execute({"config": {"folder": "../other"}}, context)

    world(tmp_path, work)


def test_the_toolkit_accepts_the_files_and_the_bundle(tmp_path: Path) -> None:
    toolkit = required().parent / "focus-toolkit"

    def asked(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([toolkit, *words], capture_output=True, text=True, check=False)

    async def work(context: WorldContext) -> None:
        context.closed, context.recorded = [NOVEMBER], [invoice()]
        await store(context, [charge(x_ChargeId="1")])
        stated = known_terms("monthly", date(2026, 11, 1), date(2027, 10, 31), json.dumps(STATED))
        await commit(context, ("c", "2026-11-01", "2027-11-01"), stated=stated)
        for version in ("1.3", "1.4"):
            await export(context, version=version)

    world(tmp_path, work)
    for version in ("1.3", "1.4"):
        detected = asked("detect", data_file(bundle(tmp_path, version)))
        assert version in detected.stdout, detected.stdout + detected.stderr
    contracts = data_file(bundle(tmp_path, "1.3"), "ContractCommitment")
    assert "dataset=Contract Commitment version=1.3" in asked("detect", contracts).stdout
    charges = data_file(bundle(tmp_path, "1.3"))
    gaps = asked("gaps", "--cost-and-usage", charges, "--contract-commitment", contracts)
    assert (gaps.returncode, "NOT PRODUCIBLE" in gaps.stdout) == (0, False), gaps.stdout + gaps.stderr
    checked = asked("validate-bundle", "--directory", bundle(tmp_path))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "Billing Period, Contract Commitment, Cost and Usage, Invoice Detail" in checked.stdout
    for name in ("billing-period", "contract-commitment", "invoice-detail"):
        file = data_file(bundle(tmp_path), name.title().replace("-", ""))
        linted = asked("validate", file, "--dataset", name)
        assert linted.returncode == 0, linted.stdout + linted.stderr
