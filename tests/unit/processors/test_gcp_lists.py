"""`gcp.api_extractor` and the shipped lists: pages, aggregated maps, answers that Google calls incomplete, tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from convergence.errors import StepFailed
from convergence.processors.gcp.api_records import incomplete, records, value_at
from convergence.sandbox import google, google_lists
from convergence.sandbox.http import Request, Response
from tests.unit.processors.installation import Here, installed


def in_installation(folder: Path, work: Any) -> Any:
    async def main() -> Any:
        async with installed(folder) as here:
            await here.set_up("gcp")
            return await work(here)

    return asyncio.run(main())


def machines(here: Here, **more: Any) -> dict[str, Any]:
    return {"gcp_project": google.PROJECT, "compute_url": f"{here.url}/compute/v1", **more}


def test_the_service_account_is_validated_and_lists_accounts_and_machines(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        validated = await here.good("gcp/auth/validate", bigquery_url=f"{here.url}/bigquery/v2")
        assert validated["validate_credential"]["valid"] is True
        for _ in range(2):  # the same day again replaces its rows
            await here.good("gcp/api/billing_accounts", cloudbilling_url=here.url)
            await here.good("gcp/api/compute_instances", **machines(here))
        accounts = await here.rows("SELECT name, open, currency, raw FROM gcp_billing_accounts_raw ORDER BY name")
        assert [(row["name"], row["open"], row["currency"], row["raw"]) for row in accounts] == [
            (each["name"], each["open"], each["currencyCode"], each) for each in google_lists.ACCOUNTS
        ]
        found = await here.rows("SELECT scope, name, status FROM gcp_compute_instances_raw ORDER BY name")
        assert [(row["scope"], row["name"]) for row in found] == [
            ("zones/us-central1-a", "batch-1"),
            ("zones/europe-west1-b", "web-1"),
            ("zones/europe-west1-b", "web-2"),
        ]

    in_installation(tmp_path, work)


def test_a_zone_that_google_cannot_reach_stops_the_run_and_leaves_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        await here.good("gcp/api/compute_instances", **machines(here))
        whole = here.sandbox.answer

        def partly(request: Request) -> Response:
            answer = whole(request)
            if not request.path.endswith("/aggregated/instances"):
                return answer
            page = {**orjson.loads(answer.body), "unreachables": ["projects/p/zones/asia-east1-a"]}
            return Response(200, orjson.dumps(page))

        monkeypatch.setattr(here.sandbox, "answer", partly)
        run = await here.run("gcp/api/compute_instances", **machines(here))
        assert (run.status, "asia-east1-a" in str(run.error)) == ("failed", True)
        assert len(await here.rows("SELECT 1 FROM gcp_compute_instances_raw")) == 3

    in_installation(tmp_path, work)


def test_a_token_that_expires_between_two_pages_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(here: Here) -> None:
        whole, refused = here.sandbox.answer, iter((True,))

        def expired(request: Request) -> Response:
            if "pageToken" in dict(request.query) and next(refused, None):
                return google.error(401, "Request had invalid authentication credentials.", "UNAUTHENTICATED")
            return whole(request)

        monkeypatch.setattr(here.sandbox, "answer", expired)
        results = await here.good("gcp/api/billing_accounts", cloudbilling_url=here.url)
        assert results["extract_accounts"]["rows_written"] == 2
        run = await here.run("gcp/api/compute_instances", **machines(here, gcp_project="another"))
        assert "Give the service account a role that may list this" in str(run.error)

    in_installation(tmp_path, work)


EMPTY = {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "nothing"}}
BROKEN = {"warning": {"code": "UNREACHABLE", "message": "zone is down"}}


@pytest.mark.parametrize(
    ("page", "items", "expected"),
    [
        ({"items": {"z/a": {"vms": [{"id": 1}, {"id": 2}]}, "z/b": EMPTY}}, "items.*.vms", [("z/a", 1), ("z/a", 2)]),
        ({"list": [{"id": 1}]}, "list", [("", 1)]),
        ({"a": {"b": [{"id": 1}]}}, "a.b", [("", 1)]),
        ({}, "list", []),  # Google leaves an empty list out
    ],
)
def test_records_are_found_where_items_leads(page: Any, items: str, expected: list[Any]) -> None:
    assert [(scope, record["id"]) for scope, record in records(page, items, "X")] == expected
    assert incomplete(page, items) == []


@pytest.mark.parametrize("page", [{"list": None}, {"list": {"id": 1}}, {"list": [1]}, [], None, "text"])
def test_what_is_no_list_of_objects_is_an_error(page: Any) -> None:
    with pytest.raises(StepFailed, match="list"):
        list(records(page, "list", "X"))


@pytest.mark.parametrize(
    ("page", "items", "expected"),
    [
        ({"items": {"z/b": BROKEN}}, "items.*.vms", ["z/b: UNREACHABLE: zone is down"]),
        ({"list": [], **BROKEN}, "list", ["UNREACHABLE: zone is down"]),
        ({"unreachable": ["locations/x"], "missingZones": ["y"]}, "list", ["locations/x", "y"]),
    ],
)
def test_what_google_could_not_reach_is_named(page: Mapping[str, Any], items: str, expected: list[str]) -> None:
    assert incomplete(page, items) == expected


def test_a_path_into_a_record_ends_where_there_is_nothing() -> None:
    assert (value_at({"a": {"b": 1}}, "a.b"), value_at({"a": 1}, "a.b"), value_at({}, "a")) == (1, None, None)
