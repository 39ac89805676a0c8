"""What Google's and Azure's steps refuse, against the sandbox: wrong keys, wrong names, pages that go wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import httpx
import orjson
import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.processors import ps_types
from convergence.errors import CredentialRejected, StepFailed
from convergence.sandbox import Sandbox, azure, google
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.step_world import FIRST, LAST, ManualClock, Vault, WorldContext

BILLED = {"table": "genai_billing_daily_raw"}
METERED = {"table": "genai_metrics_daily_raw"}
EXPORT = {"billing_export_table": google.TABLE, "secret": "key"}
AZURE = {"resource_id": azure.RESOURCE, "secret": "key"}


def step(ps_type: str, config: Mapping[str, Any], key: str | None = None, changed: Any = None, **fields: Any) -> Any:
    """Run one step; `changed` may alter an answer of the sandbox before it goes out."""

    async def main() -> Any:
        clock, sandbox = ManualClock(), Sandbox(faults=False)
        warehouse = DuckDbWarehouse(None, clock=clock)
        server = HttpServer(lambda request: (changed or keep)(request, sandbox.answer(request)))
        url = await server.start() + "/v1"
        secret = key if key is not None else google.service_account(url)
        try:
            async with httpx.AsyncClient() as client:
                context = WorldContext(client, warehouse, clock, secrets=Vault({"key": secret}), **fields)
                root = f"{url}/bigquery/v2" if "billing_export_table" in config else url
                asks = {
                    "api_base_url": root,
                    **({"token_url": f"{url}/azure/token"} if "resource_id" in config else {}),
                }
                table = METERED if ps_type.endswith("usage") else BILLED
                inner = {"config": {**asks, **config}, "destination": table}
                return await ps_types.load(ps_type).execute(inner, context)
        finally:
            await server.stop()
            warehouse.close()

    return asyncio.run(main())


def keep(request: Request, answer: Response) -> Response:
    return answer


def test_pages_of_the_export_add_up_to_one_answer() -> None:
    asked: list[str] = []

    def counted(request: Request, answer: Response) -> Response:
        asked.extend([request.method] * ("/queries" in request.path))
        return answer

    whole = step("gemini.cost", EXPORT, changed=counted)
    pages = step("gemini.cost", {**EXPORT, "page_rows": 4}, changed=counted)
    assert whole["cost"] == pages["cost"]
    assert whole["rows_written"] == pages["rows_written"] == 15
    assert asked == ["POST", "POST", "GET", "GET", "GET"]


def test_a_query_that_takes_long_is_asked_for_again() -> None:
    first = iter((True,))

    def later(request: Request, answer: Response) -> Response:
        if "/queries" not in request.path or next(first, None) is None:
            return answer
        reference = orjson.loads(answer.body)["jobReference"]
        return Response(200, orjson.dumps({"jobComplete": False, "jobReference": reference}))

    assert step("gemini.cost", EXPORT, changed=later)["rows_written"] == 15


def test_pages_that_lead_to_themselves_end() -> None:
    def round_and_round(request: Request, answer: Response) -> Response:
        page = orjson.loads(answer.body)
        return Response(200, orjson.dumps({**page, "pageToken": "4"})) if "/queries" in request.path else answer

    with pytest.raises(StepFailed, match="repeats its pageToken"):
        step("gemini.cost", {**EXPORT, "page_rows": 4}, changed=round_and_round)


@pytest.mark.parametrize(
    "table", ["sandbox-project.billing.users", "p.d.gcp_billing_export_v1_X` WHERE 1=1 --", "gcp_billing_export_v1_X"]
)
def test_only_a_billing_export_is_read(table: str) -> None:
    with pytest.raises(StepFailed, match=r"is not project\.dataset\.gcp_billing_export_v1_ACCOUNT"):
        step("gemini.cost", {**EXPORT, "billing_export_table": table})


def test_a_key_that_google_does_not_know_is_refused_and_never_shown() -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def wrong(**changed: Any) -> str:
        return json.dumps({"client_email": google.EMAIL, "private_key": pem, **changed})

    for key, error in (
        (wrong(token_uri="https://evil.example/token"), "leads to 'evil.example', which is not Google's"),
        (wrong(private_key="-----BEGIN"), "cannot be read"),
        ("sk-no-json", "not a JSON key of a service account"),
    ):
        with pytest.raises(StepFailed, match=error) as caught:
            step("gemini.cost", EXPORT, key)
        assert pem[40:80] not in str(caught.value)


def test_a_signature_of_another_key_is_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    async def main() -> None:
        sandbox = Sandbox(faults=False)
        url = await sandbox.start()
        key = json.dumps({"client_email": google.EMAIL, "private_key": pem, "token_uri": f"{url}/google/token"})
        try:
            async with httpx.AsyncClient() as client:
                context = WorldContext(client, None, ManualClock(), secrets=Vault({"key": key}), warehouse=Never())
                config = {**EXPORT, "api_base_url": f"{url}/bigquery/v2"}
                await ps_types.load("gemini.cost").execute({"config": config, "destination": BILLED}, context)
        finally:
            await sandbox.stop()

    with pytest.raises(CredentialRejected, match="refuses the service account"):
        asyncio.run(main())


class Never:
    """A warehouse that takes a stage and nothing more."""

    def stage(self, table: str) -> Never:
        self.table = table
        return self


def test_azure_pages_and_its_refusals() -> None:
    assert step("azure_openai.cost", AZURE, azure.CREDENTIAL)["http_calls"] == 7  # 1 + 2 × 30 rows, ten a page
    with pytest.raises(CredentialRejected, match="refuses the client"):
        step("azure_openai.cost", AZURE, '{"client_id": "sandbox-app", "client_secret": "wrong"}')
    with pytest.raises(StepFailed, match="must read /subscriptions/ID"):
        step("azure_openai.cost", {**AZURE, "resource_id": "/subscriptions/../x"}, azure.CREDENTIAL)


def test_a_next_link_to_another_host_gets_no_credential() -> None:
    def away(request: Request, answer: Response) -> Response:
        if "CostManagement" not in request.path:
            return answer
        page = orjson.loads(answer.body)
        page["properties"]["nextLink"] = "https://evil.example/more"
        return Response(200, orjson.dumps(page))

    with pytest.raises(StepFailed, match=r"leads to another host, 'evil\.example'"):
        step("azure_openai.cost", AZURE, azure.CREDENTIAL, away)


def series(day: str, total: float) -> dict[str, Any]:
    return {"metadatavalues": [], "data": [{"timeStamp": f"{day}T00:00:00Z", "total": total}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"errorCode": "ResourceTypeNotSupported", "errorMessage": "no"}, r"ResourceTypeNotSupported \(no\)"),
        ({"timeseries": [{"metadatavalues": [], "data": []}] * 1000}, "1000 series or more"),
        ({"timeseries": [series("2026-11-10", -1)]}, "not a count"),
        ({"timeseries": [series("2026-11-10", 1.5)]}, "not a count"),
        ({"timeseries": [series("2026-01-10", 1)]}, "was not requested"),
        ({"timeseries": "none"}, "unexpected shape"),
    ],
)
def test_a_metric_that_cannot_be_trusted_stops_the_step(change: dict[str, Any], message: str) -> None:
    def altered(request: Request, answer: Response) -> Response:
        if "Insights" not in request.path:
            return answer
        page = orjson.loads(answer.body)
        page["value"][0].update(change)
        return Response(200, orjson.dumps(page))

    with pytest.raises(StepFailed, match=message):
        step("azure_openai.usage", AZURE, azure.CREDENTIAL, altered)


def test_days_that_azure_no_longer_keeps_are_refused() -> None:
    with pytest.raises(StepFailed, match="Azure Monitor keeps 93 days; it no longer has data for 2026-01-01"):
        step("azure_openai.usage", AZURE, azure.CREDENTIAL, start_date=date(2026, 1, 1))
    kept = AZURE | {"kept_days": 3_660}
    assert step("azure_openai.usage", kept, azure.CREDENTIAL, start_date=date(2026, 1, 1)) is not None


def test_ten_days_of_vertex_are_twenty_sums() -> None:
    assert (LAST - FIRST).days == 9
    result = step("vertex.usage", {"project": google.PROJECT, "secret": "key"})
    assert result["rows_written"] == 20
    with pytest.raises(CredentialRejected, match="Monitoring Viewer"):
        step("vertex.usage", {"project": "other-project", "secret": "key"})
