"""The demo's screen: the run, the cost, the reconciliation, and where to look next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from convergence.engine.views.models import RunView
from convergence.entry.cli import log_file
from convergence.entry.cli.commands.demo.figures import Figures
from convergence.entry.cli.commands.status import steps_table
from convergence.entry.cli.output import Output, exact
from convergence.entry.cli.session import Session

CENT: Final = Decimal("0.01")
SHOWN_MAX: Final = 8
QUERY: Final = "SELECT x_Model, SUM(BilledCost) AS cost FROM cost_data_standard_1_3 GROUP BY 1 ORDER BY 2 DESC"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the demo reports about its run."""

    source: str
    sandbox: bool
    run: RunView
    results: Mapping[str, Mapping[str, Any]]
    figures: Figures
    log: Path

    @property
    def retries(self) -> list[dict[str, Any]]:
        """Calls that were repeated because the provider was busy or broken: {at, step_id, message}."""
        return [
            {"at": line["at"], "step_id": line.get("step_id"), "message": line["message"]}
            for line in log_file.read_run(self.log, self.run["run_id"])
            if "; attempt " in line["message"]
        ]

    def to_data(self) -> dict[str, Any]:
        """Return JSON (money as Decimal)."""
        return {
            "source": self.source,
            "sandbox": self.sandbox,
            "run": self.run,
            "retries": self.retries,
            "currency": "USD",
            "total_cost": self.figures.total,
            "costs": self.figures.costs,
            "unpriced": self.results.get("calculate_costs", {}).get("unpriced", []),
            "reconciliation": {
                "by_reason": {reason: asdict(sums) for reason, sums in self.figures.by_reason().items()},
                "lines": self.figures.differences,
            },
        }


def print_report(session: Session, report: Report) -> None:
    """Print it for people."""
    out = session.out
    out.line()
    out.line(f"Run {report.run['run_id']}")
    steps_table(out, report.run)
    for retry in report.retries:
        out.line(f"  {retry['at'][11:23]}  {retry['message']}")
    print_figures(out, report)
    _print_next(session, report.run["run_id"])


def print_figures(out: Output, report: Report) -> None:
    """Print cost per model and day, and where it differs from the bill."""
    _print_costs(out, report.figures)
    _print_reconciliation(out, report)


def _print_costs(out: Output, figures: Figures) -> None:
    out.line("\nCost per model and day, USD")
    days = figures.days
    cost = {(row["model"], row["day"]): row["cost"] for row in figures.costs}
    models = sorted({row["model"] for row in figures.costs}, key=lambda model: -_sum(cost, model))
    rows: list[list[str]] = [
        [model, *(_money(cost.get((model, day))) for day in days), _money(_sum(cost, model))] for model in models
    ]
    by_day = [sum((value for (_, on), value in cost.items() if on == day), Decimal(0)) for day in days]
    rows.append(["total", *(_money(value) for value in by_day), _money(figures.total)])
    headers = ["model", *(day.strftime("%m-%d") for day in days), "total"]
    out.table(headers, rows, right=range(1, len(headers)))
    out.line(f"Sum of all charges, to the last digit: {exact(figures.total)} USD")


def _print_reconciliation(out: Output, report: Report) -> None:
    out.line("\nComputed cost against the provider's own bill, USD")
    reasons = report.figures.by_reason()
    rows = [
        [reason, str(sums.lines), _money(sums.computed), _money(sums.billed), _money(sums.difference)]
        for reason, sums in reasons.items()
    ]
    out.table(["reason", "lines", "computed", "billed", "billed - computed"], rows, right={1, 2, 3, 4})
    explained = [row for row in report.figures.differences if row["difference"] and row["explanation"]]
    explained.sort(key=lambda row: -abs(row["difference"]))
    for row in explained[:SHOWN_MAX]:
        what = ", ".join(dict.fromkeys((row["what"], row["charge_kind"])))
        out.line(f"  {what}: {_money(row['difference'])} ({row['explanation']})")
    if len(explained) > SHOWN_MAX:
        out.line(f"  … and {len(explained) - SHOWN_MAX} more in openai_cost_daily_reconciled")
    unpriced = report.results.get("calculate_costs", {}).get("unpriced", [])
    if unpriced:
        out.line(f"  Used, but not on our price list: {'; '.join(unpriced)}")


def _print_next(session: Session, run_id: str) -> None:
    session.out.line("\nLook further")
    for command in next_commands(session, run_id):
        session.out.line(f"  {command}")


def next_commands(session: Session, run_id: str) -> list[str]:
    """Return command lines that work as they stand."""
    return [
        session.command("logs", run_id),
        session.command("query", "demo", QUERY),
        session.command("graph", "openai/cost/usage_cost", "-o", "usage_cost.svg"),
        session.command("history", "demo"),
        session.command("demo", "--open"),
    ]


def _sum(cost: Mapping[tuple[str, Any], Decimal], model: str) -> Decimal:
    return sum((value for (of, _), value in cost.items() if of == model), Decimal(0))


def _money(value: Decimal | None) -> str:
    if value is None:
        return ""
    return f"{value.quantize(CENT):,f}" if abs(value) >= CENT or value == 0 else exact(value)[:9]
