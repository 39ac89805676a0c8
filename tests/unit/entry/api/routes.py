"""Every route of the API's document, and names that exist in acme to fill into its path."""

from __future__ import annotations

from tests.unit.entry.api.conftest import ROOT, Api


def routes(api: Api) -> list[tuple[str, str]]:
    """Every route of the document, with names that exist in acme filled in."""
    document = api.app.openapi()
    return [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]


async def names_of_acme(api: Api) -> dict[str, str]:
    """Make one thing of each kind; return the names by which the paths ask for them."""
    run_id = (await api.run())["run_id"]
    keys = (await api.ask("GET", "/organizations/acme/keys", headers=ROOT)).json()["keys"]
    real = {"org": "acme", "run_id": run_id, "path": "shop/cost/daily", "provider": "openai", "name": "sp_x"}
    real |= {"key_id": keys[0]["key_id"], "credential_id": "cred_1"}
    real |= {"replay_id": "dlr_0", "letter_id": "letter_0"}
    weekly = {"pipeline": "shop/cost/daily", "name": "weekly", "cron_expression": "0 6 * * 1"}
    added = await api.ask("POST", "/scheduler/schedules/acme", org="acme", json=weekly)
    real |= {"schedule_id": added.json()["schedule_id"], "change": "pause"}
    days = {"from": "2026-01-01", "to": "2026-01-02"}
    filled = await api.ask("POST", "/pipelines/backfill/acme/shop/cost/daily", org="acme", json=days)
    real |= {"backfill_id": filled.json()["backfill_id"]}
    hook = await api.ask("POST", "/webhooks/acme", org="acme", json={"url": "https://hooks.example.com/"})
    real |= {"webhook_id": hook.json()["webhook_id"], "delivery_id": "whd_0"}
    return real
