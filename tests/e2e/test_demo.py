"""The main job in a process of its own: its sum, its rows, and the commands that it names."""

from __future__ import annotations

import csv
import re
import resource
import shlex
import signal
import subprocess
from datetime import date
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import PATIENCE_S, ROOT, Installation, environment
from tests.e2e.recompute import billed, total_cost
from tests.referees.environment import python_of

FIRST, LAST = date(2026, 3, 2), date(2026, 3, 8)
DAYS = ("--start", FIRST.isoformat(), "--end", LAST.isoformat())
FOCUS = "cost_data_standard_1_3"
CENT = Decimal("0.01")
MANDATORY = [
    line.partition(" ")[0]
    for line in (ROOT / "tests/repo/focus_1_3_columns.txt").read_text("utf-8").splitlines()
    if line.endswith(" M")
]


class Demo(Installation):
    """An installation on which the demo ran once."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        before = cpu_seconds_of_children()
        self.first = self.call("demo", *DAYS)
        self.cpu_seconds = cpu_seconds_of_children() - before


def cpu_seconds_of_children() -> float:
    """CPU time of all processes waited for; other work on the machine does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo") / "data")


def test_the_printed_sum_is_the_bill_and_the_computed_part_an_independent_computation(demo: Demo) -> None:
    printed = re.search(r"to the last digit: ([\d.]+) USD", demo.first.stdout)
    assert printed is not None, demo.first.stdout
    assert Decimal(printed[1]) == billed(FIRST, LAST) > 100
    computed = [row for row in demo.rows("demo", FOCUS) if row["x_CostOrigin"] == "computed"]
    assert sum(Decimal(str(row["BilledCost"])) for row in computed) == total_cost(FIRST, LAST) > 100


def test_the_screen_shows_source_retries_and_differences(demo: Demo) -> None:
    screen = demo.first.stdout
    for message in (
        "CC BY 4.0",
        "models (the trace names none)",
        "answers 429",
        "answers 500",
        "missing_price",
        "match",
    ):
        assert message in screen


def test_the_demo_needs_seconds_of_cpu_time(demo: Demo) -> None:
    assert 0 < demo.cpu_seconds < 15


def test_the_commands_that_are_named_next_work(demo: Demo, tmp_path: Path) -> None:
    lines = demo.first.stdout.partition("Look further\n")[2].splitlines()
    assert len(lines) == 5
    for line in lines[:-1]:  # the last one serves until it is stopped
        argv = shlex.split(line)
        if "/" in argv[0]:  # named as it is called from the folder of this process
            argv[0] = str(Path(argv[0]).absolute())
        done = subprocess.run(
            argv, cwd=tmp_path, capture_output=True, text=True, env=environment(), timeout=PATIENCE_S, check=False
        )
        assert (done.returncode, done.stdout == "") == (0, "graph" in argv), line + done.stderr
    assert (tmp_path / "usage_cost.svg").exists()


def test_the_last_line_of_the_demo_opens_the_page_of_its_run(demo: Demo) -> None:
    line = demo.first.stdout.splitlines()[-1].strip()
    assert line.endswith("demo --open")
    with demo.started("demo", *DAYS, "--open", PORT="0") as process:
        assert process.stdout is not None
        link = next(line.split()[-1] for line in process.stdout if line.startswith("look at  "))
        assert link.startswith("http://127.0.0.1:")
        with httpx.Client(follow_redirects=True, timeout=PATIENCE_S) as browser:
            page = browser.get(link)
            assert (page.status_code, "/ui/demo/runs/run_" in str(page.url)) == (200, True)
            assert "OpenAI usage and cost" in page.text
            wrong = httpx.get(link.replace("/open/", "/open/x"))
            assert (wrong.status_code, wrong.headers["location"]) == (303, "/ui/sign-in")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0


def test_mandatory_focus_columns_are_filled_in_every_row(demo: Demo) -> None:
    rows = demo.rows("demo", FOCUS)
    assert len(MANDATORY) == 17
    assert len(rows) > 100
    assert {name for row in rows for name in MANDATORY if row[name] in (None, "")} == set()


def test_reports_add_up_to_the_bill(demo: Demo) -> None:
    for name in ("by_service", "by_model", "by_team", "by_account", "by_user", "untagged"):
        rows = demo.json("report", "demo", name)["rows"]
        assert sum(Decimal(row["billed"]) for row in rows) == billed(FIRST, LAST), name
    compared = demo.json("report", "demo", "computed_against_billed")["rows"]
    assert sum(Decimal(row["billed"] or 0) for row in compared) == billed(FIRST, LAST)


def test_a_month_is_invoiced_reconciled_closed_and_exported(demo: Demo, tmp_path: Path) -> None:
    (names,) = {(row["InvoiceIssuerName"], row["BillingAccountId"]) for row in demo.rows("demo", FOCUS)}
    issuer, account = map(str, names)
    bill = billed(FIRST, LAST)
    asked = ("--issuer", issuer, "--account", account, "--month", "2026-03", "--currency", "USD")
    demo.json("invoice", "add", "demo", "INV-1", *asked, "--amount", f"{bill.quantize(CENT)}")
    (compared,) = demo.json("period", "reconcile", "demo", "--from", "2026-03")["periods"]
    assert Decimal(compared["billed"]) == bill
    assert Decimal(compared["computed"]) == total_cost(FIRST, LAST), "residual charges are on no side"
    assert abs(Decimal(compared["unexplained"])) < CENT
    assert compared["state"] == "explained"
    demo.json("period", "close", "demo", "2026-03", issuer, account)
    (manifest,) = demo.json("export", "focus", "demo", "--from", "2026-03", "--to-url", str(tmp_path))["periods"]
    assert Decimal(manifest["datasets"]["CostAndUsage"]["sums"]["USD"]["BilledCost"]) == bill
    assert set(manifest["datasets"]) == {"CostAndUsage", "BillingPeriod", "InvoiceDetail"}
    python = python_of()
    if python is not None:
        toolkit = [python.parent / "focus-toolkit", "validate-bundle", "--directory", tmp_path / manifest["path"]]
        checked = subprocess.run(toolkit, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_an_exported_figure_is_traced_to_its_raw_rows(demo: Demo, tmp_path: Path) -> None:
    text = (ROOT / "docs/focus.md").read_text("utf-8").partition("## From an exported figure")[2].partition("\n## ")[0]
    figure, sources, charges = (part.partition("```")[0] for part in text.split("```sql\n")[1:])
    (manifest,) = demo.json(
        *("export", "focus", "demo", "--from", "2026-03", "--format", "csv", "--to-url", str(tmp_path))
    )["periods"]
    exported = manifest["datasets"]["CostAndUsage"]
    (total,) = demo.json("query", "demo", figure)["rows"]
    assert Decimal(exported["sums"]["USD"]["BilledCost"]) == Decimal(total["billed"]) == billed(FIRST, LAST)
    assert (exported["rows"], total["currency"]) == (total["charges"], "USD")
    with (tmp_path / manifest["path"] / exported["file"]).open(encoding="utf-8", newline="") as file:
        costs = {row["x_ChargeId"]: Decimal(row["BilledCost"]) for row in csv.DictReader(file)}
    found = demo.json("query", "demo", sources)["rows"]
    assert {row["raw_table"] for row in found} == {"openai_usage_daily_raw", "openai_billing_daily_raw"}
    assert sum(Decimal(row["billed"]) for row in found) == Decimal(total["billed"])
    for table in {row["raw_table"] for row in found}:
        rows = demo.json("query", "demo", charges.replace("TABLE", table))["rows"]
        for row in rows:
            assert row["raw_rows"] > 0, row
            assert costs.pop(row["charge"]) == Decimal(row["billed"])
            if row["price"] is not None:
                assert Decimal(row["price"]) * Decimal(row["quantity"]) == Decimal(row["billed"])
    assert not costs, "every exported charge was found"


def test_a_second_demo_leaves_the_same_rows_and_tells_them_as_json(demo: Demo) -> None:
    def charges() -> list[dict[str, object]]:
        return [{name: value for name, value in row.items() if name != "x_run_id"} for row in demo.rows("demo", FOCUS)]

    before = charges()
    again = demo.json("demo", *DAYS)
    assert charges() == before
    assert Decimal(again["total_cost"]) == billed(FIRST, LAST)
    assert sum(Decimal(row["cost"]) for row in again["costs"]) == Decimal(again["total_cost"])
    assert {"429", "500"} <= {word for retry in again["retries"] for word in re.findall(r"\d{3}", retry["message"])}
    assert set(again["reconciliation"]["by_reason"]) >= {"match", "price"}


def test_no_file_of_the_installation_holds_the_key(demo: Demo) -> None:
    for file in demo.data_dir.rglob("*"):
        assert file.is_dir() or b"sk-admin-sandbox" not in file.read_bytes(), file
