"""Billing periods and invoices on the command line."""

from __future__ import annotations

from pathlib import Path

from tests.unit.entry.conftest import Cli
from tests.unit.processors.focus_exports import data_file

PERIOD = ("2026-10", "OpenAI", "org-1")
INVOICES = """\
InvoiceIssuerName,BillingAccountId,BillingPeriodStart,InvoiceId,BillingCurrency,BilledCost,ChargeCategory,PaymentTerms
OpenAI,org-1,2026-10-01T00:00:00Z,INV-1,USD,100.25,Usage,Net 30
OpenAI,org-1,2026-10-01T00:00:00Z,INV-1,USD,19.05,Tax,Net 30
OpenAI,org-1,2026-11-01,INV-2,USD,-3,Credit,
"""


def test_a_period_is_closed_and_only_opened_again_for_a_reason(acme: Cli) -> None:
    assert acme("period", "open", "acme", *PERIOD).code == 0
    (closed,) = acme("period", "close", "acme", *PERIOD, "--json").data["periods"]
    assert (closed["status"], [each["status"] for each in closed["changes"]]) == ("Closed", ["Open", "Closed"])
    again = acme("period", "close", "acme", *PERIOD, "--json").data["periods"]
    assert again == [closed], "closing it twice changes nothing"
    silent = acme("period", "open", "acme", *PERIOD)
    assert (silent.code, "give the reason" in silent.err) == (2, True)
    (opened,) = acme("period", "reopen", "acme", *PERIOD, "--reason", "restated", "--json").data["periods"]
    assert opened["created_at"] == closed["created_at"] < opened["updated_at"]
    assert {key: opened["changes"][-1][key] for key in ("status", "reason", "actor")} == {
        "status": "Open", "reason": "restated", "actor": "command line",
    }  # fmt: skip
    assert acme("period", "list", "acme", "--json").data["periods"] == [opened]
    assert "restated" in acme("period", "list", "acme").out
    assert acme("period", "close", "acme", "2026-13", "OpenAI", "org-1").code == 2
    assert acme("period", "close", "acme", "2026-10", " ", "org-1").code == 2


def test_invoices_are_imported_all_or_none_and_each_once(acme: Cli, tmp_path: Path) -> None:
    file = tmp_path / "invoices.csv"
    file.write_text(INVOICES)
    first, second = acme("invoice", "import", "acme", str(file), "--json").data["invoices"]
    assert [line["amount"] for line in first["lines"]] == ["100.25", "19.05"]
    assert (first["payment_terms"], second["lines"][0]["category"]) == ("Net 30", "Credit")
    assert "119.3" in acme("invoice", "list", "acme").out

    def refused(text: str, reason: str, code: int = 2) -> None:
        file.write_text(text)
        answer = acme("invoice", "import", "acme", str(file))
        assert (answer.code, reason in answer.err) == (code, True), answer.err
        assert len(acme("invoice", "list", "acme", "--json").data["invoices"]) == 2

    header, *lines = INVOICES.splitlines(keepends=True)
    other = lines[2].replace("INV-2", "INV-3")
    refused(header + other + lines[0], "INV-1 of OpenAI, account org-1, 2026-10 is recorded already", 1)
    refused(header + other.replace("USD", "EUR"), "is in EUR, but another invoice of it is in USD")
    refused(header + lines[0] + lines[1].replace("USD", "EUR"), "line 3: BillingCurrency is 'EUR'")
    refused(header + other.replace(",-3,", ",three,"), "'three' is not an amount")
    refused(header + other.replace("2026-11-01", "2026-11-02"), "must begin on the first day of a month")
    refused(header.replace("BilledCost", "Cost") + other, "BilledCost is missing")
    refused(header + other.replace("Credit", "Refund"), "'Refund' is not one of")


def charged(acme: Cli, invoice: str = "") -> None:
    """Give acme one charge of 1 USD in November; `invoice`: the id that the bill names."""
    day = "2026-11-10"
    loaded = (
        "INSERT INTO cost_data_standard_1_3 (BilledCost, EffectiveCost, BillingAccountId, BillingCurrency,"
        " BillingPeriodStart, BillingPeriodEnd, ChargePeriodStart, ChargePeriodEnd, ChargeCategory, InvoiceIssuerName,"
        " ProviderName, PublisherName, ServiceCategory, ServiceName, ServiceProviderName, x_pipeline_run_date,"
        " InvoiceId)"
        f" SELECT 1, 1, 'org-1', 'USD', TIMESTAMP '2026-11-01', TIMESTAMP '2026-12-01', TIMESTAMP '{day}',"
        f" TIMESTAMP '2026-11-11', 'Usage', 'OpenAI', 'p', 'p', 's', 's', 'p', DATE '{day}', '{invoice}'"
    )
    pipeline = Path("configs/shop/charge.yml")
    pipeline.write_text(
        'pipeline_id: "{org_slug}-shop-charge"\nprovider: shop\nsteps:\n  - step_id: load_charge\n'
        f"    ps_type: generic.bq_execute\n    config:\n      query: |\n        {loaded}\n"
    )
    assert acme("report", "acme", "by_service").code == 0  # makes the table
    ran = acme("run", "acme", "shop/charge", "-p", f"start_date={day}", "-p", f"end_date={day}")
    assert ran.code == 0, ran.err


def test_an_invoice_in_another_currency_than_its_charges_is_refused(acme: Cli) -> None:
    charged(acme)
    asked = ("--issuer", "OpenAI", "--account", "org-1", "--month", "2026-11", "--amount", "12.30", "--tax", "2")
    wrong = acme("invoice", "add", "acme", "INV-1", *asked, "--currency", "EUR")
    assert (wrong.code, "is in EUR, but its charges are in USD" in wrong.err) == (2, True)
    assert acme("invoice", "list", "acme", "--json").data["invoices"] == []
    (added,) = acme("invoice", "add", "acme", "INV-1", *asked, "--currency", "USD", "--json").data["invoices"]
    assert [(line["category"], line["amount"]) for line in added["lines"]] == [("Usage", "12.30"), ("Tax", "2")]
    (gone,) = acme("invoice", "void", "acme", "OpenAI", "INV-1", "--json").data["invoices"]
    assert gone["status"] == "Voided"
    assert acme("invoice", "void", "acme", "OpenAI", "INV-9").code == 2
    (compared,) = acme("period", "reconcile", "acme", "--from", "2026-11", "--json").data["periods"]
    shown = {name: compared[name] for name in ("account", "computed", "invoiced", "state", "tolerance")}
    assert shown == {
        "account": "org-1", "computed": "1", "invoiced": None, "state": "not_compared", "tolerance": "1",
    }, "a voided invoice counts no more"  # fmt: skip
    assert acme("invoice", "add", "acme", "INV-2", *asked, "--currency", "USD").code == 0
    (over,) = acme("period", "reconcile", "acme", "--from", "2026-10", "--to", "2026-11", "--json").data["periods"]
    assert (over["difference"], over["state"], over["tax_state"]) == ("11.3", "over", "over")
    assert "11.3" in acme("period", "reconcile", "acme", "--from", "2026-11").out


def test_a_period_is_published_when_it_is_closed_and_its_invoice_agrees(acme: Cli) -> None:
    charged(acme)
    november = ("2026-11", "OpenAI", "org-1")

    def decided() -> tuple[bool, str | None]:
        (found,) = acme("period", "publish", "acme", "--from", "2026-11", "--json").data["periods"]
        assert (found["month"], found["issuer"], found["account"]) == november
        assert (found["charges"], found["cost"], found["currency"]) == (1, "1", "USD")
        shown = acme("query", "acme", "SELECT SUM(BilledCost) AS cost FROM cost_data_published", "--json").data["rows"]
        assert shown == [{"cost": "1" if found["published"] else None}]
        return found["published"], found["reason"]

    opened = acme("period", "publish", "acme", "--from", "2026-11", "--json").data["periods"]
    withheld = acme("query", "acme", "SELECT cost, reason FROM cost_data_withheld", "--json").data["rows"]
    assert (opened, withheld) == ([], [{"cost": "1", "reason": "the billing period is not closed"}])
    assert acme("period", "close", "acme", *november).code == 0
    assert not decided()[0], "nothing says that it is right"
    asked = ("--issuer", "OpenAI", "--account", "org-1", "--month", "2026-11", "--currency", "USD")
    assert acme("invoice", "add", "acme", "INV-1", *asked, "--amount", "40").code == 0
    assert not decided()[0], "its invoice is higher"
    assert acme("invoice", "void", "acme", "OpenAI", "INV-1").code == 0
    assert acme("invoice", "add", "acme", "INV-2", *asked, "--amount", "1").code == 0
    assert decided() == (True, "")
    assert "INV" not in acme("period", "publish", "acme", "--from", "2026-11").out
    assert acme("period", "publish", "acme", "--from", "2026-12", "--json").data["periods"] == []
    assert acme("period", "publish", "nowhere", "--from", "2026-11").code == 2


def test_invoices_that_a_bill_names_are_recorded_from_its_charges(acme: Cli, tmp_path: Path) -> None:
    charged(acme, invoice="INV-9")
    file = tmp_path / "invoices.csv"
    file.write_text(acme("report", "acme", "billed_invoices", "--csv").out)
    (invoice,) = acme("invoice", "import", "acme", str(file), "--json").data["invoices"]
    shown = {name: invoice[name] for name in ("month", "issuer", "account", "invoice_id", "currency", "status")}
    assert shown == {
        "month": "2026-11-01", "issuer": "OpenAI", "account": "org-1", "invoice_id": "INV-9", "currency": "USD",
        "status": "Issued",
    }  # fmt: skip
    assert [(line["amount"], line["category"]) for line in invoice["lines"]] == [("1", "Usage")]
    again = acme("invoice", "import", "acme", str(file))
    assert (again.code, "is recorded already" in again.err) == (1, True)
    assert acme("export", "focus", "acme", "--from", "2026-11", "--format", "csv", "--to-url", "out").code == 0
    assert "INV-9" in data_file(Path("out/1.4/2026-11"), "InvoiceDetail").read_text()
