"""Billing periods and invoices over the API."""

from __future__ import annotations

from typing import Any

from tests.unit.entry.api.conftest import Api, RunScenario

PERIODS, INVOICES = "/organizations/acme/billing-periods", "/organizations/acme/invoices"
KEY = {"month": "2026-10", "issuer": "OpenAI", "account": "org-1"}
INVOICE: dict[str, Any] = {
    **KEY, "invoice_id": "INV-1", "currency": "USD", "issued_on": "2026-11-02",
    "lines": [{"line_id": "1", "amount": "812.50"}, {"line_id": "2", "amount": "154.38", "category": "Tax"}],
}  # fmt: skip


def test_a_period_is_closed_and_opened_again_for_a_reason(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        assert (await api.ask("GET", PERIODS, org="acme")).json() == {"periods": []}
        closed = await api.ask("PUT", PERIODS, org="acme", json={**KEY, "status": "Closed"})
        assert (closed.status_code, closed.json()["status"]) == (200, "Closed")
        silent = await api.ask("PUT", PERIODS, org="acme", json={**KEY, "status": "Open"})
        assert (silent.status_code, silent.json()["code"]) == (422, "input.invalid")
        reason = {"status": "Open", "reason": "the bill was restated"}
        opened = (await api.ask("PUT", PERIODS, org="acme", json={**KEY, **reason})).json()
        assert opened["changes"][-1]["reason"] == reason["reason"]
        assert opened["changes"][-1]["actor"] not in {"", "nobody"}
        assert (await api.ask("GET", PERIODS, org="acme")).json() == {"periods": [opened]}
        for wrong in (
            {"month": "2026-1"},
            {"month": "2026-13"},
            {"month": "9999-12"},
            {"issuer": ""},
            {"account": " a"},
            {"status": "Shut"},
        ):
            answer = await api.ask("PUT", PERIODS, org="acme", json={**KEY, "status": "Open", **wrong})
            assert answer.status_code == 422, wrong

    run_scenario(scenario)


def test_an_invoice_is_recorded_once(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        stored = await api.ask("POST", INVOICES, org="acme", json={"invoices": [INVOICE]})
        assert stored.status_code == 201, stored.text
        listed = (await api.ask("GET", INVOICES, org="acme")).json()["invoices"]
        assert listed == stored.json()["invoices"]
        assert [line["amount"] for line in listed[0]["lines"]] == ["812.50", "154.38"]
        again = await api.ask(
            "POST", INVOICES, org="acme", json={"invoices": [{**INVOICE, "invoice_id": "INV-2"}, INVOICE]}
        )
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
        euro = await api.ask(
            "POST", INVOICES, org="acme", json={"invoices": [{**INVOICE, "invoice_id": "INV-2", "currency": "EUR"}]}
        )
        assert (euro.status_code, "is in EUR" in euro.json()["detail"]) == (422, True)
        for amount in ("NaN", "1e30", "0.000000000000001", "one"):
            lines = [{"line_id": "1", "amount": amount}]
            wrong = await api.ask(
                "POST", INVOICES, org="acme", json={"invoices": [{**INVOICE, "invoice_id": "INV-2", "lines": lines}]}
            )
            assert wrong.status_code == 422, amount
        assert (await api.ask("GET", INVOICES, org="acme")).json()["invoices"] == listed
        voided = await api.ask("POST", f"{INVOICES}/void", org="acme", json={"issuer": "OpenAI", "invoice_id": "INV-1"})
        assert voided.json()["invoices"][0]["status"] == "Voided"

    run_scenario(scenario)


def test_charges_and_invoices_are_compared(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await api.ask("POST", INVOICES, org="acme", json={"invoices": [INVOICE]})
        path = "/organizations/acme/reconciliation"
        (found,) = (await api.ask("GET", path, org="acme", params={"from": "2026-09", "to": "2026-10"})).json()[
            "periods"
        ]
        assert (found["account"], found["computed"], found["invoiced"]) == ("org-1", "0", "812.5")
        assert (found["state"], found["invoiced_tax"]) == ("over", "154.38")
        assert (await api.ask("GET", path, org="acme", params={"from": "2026-11"})).json() == {"periods": []}
        for wrong in ("2026", "2026-13", "", "9999-12", "0001-01"):
            assert (await api.ask("GET", path, org="acme", params={"from": wrong})).status_code == 422, wrong
        assert (await api.ask("GET", path, org="globex", params={"from": "2026-10"})).status_code in {403, 404}

    run_scenario(scenario, orgs=("acme", "globex"))


def test_another_org_neither_reads_nor_changes_them(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await api.ask("POST", INVOICES, org="acme", json={"invoices": [INVOICE]})
        for method, path, body in (
            ("GET", PERIODS, None),
            ("PUT", PERIODS, {**KEY, "status": "Closed"}),
            ("GET", INVOICES, None),
            ("POST", INVOICES, {"invoices": [INVOICE]}),
            ("POST", f"{INVOICES}/void", {"issuer": "OpenAI", "invoice_id": "INV-1"}),
        ):
            assert (await api.ask(method, path, org="globex", json=body)).status_code in {403, 404}, path
        own = await api.ask("GET", "/organizations/globex/invoices", org="globex")
        assert own.json() == {"invoices": []}

    run_scenario(scenario, orgs=("acme", "globex"))
