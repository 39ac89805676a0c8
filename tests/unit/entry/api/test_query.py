"""SQL over the API: an org's own dataset, bounded in rows, bytes and time, and nothing is written."""

from __future__ import annotations

import pytest

from convergence.engine.views.query import result_of
from convergence.entry.api.routes import query
from tests.unit.entry.api.conftest import ROOT, Api, RunScenario

PATH = "/query/acme"
TYPED = (
    "SELECT 1 AS n, NUMERIC '1.50' AS money, DATE '2026-11-07' AS day, TIMESTAMP '2026-11-07 01:02:03+00:00' AS at,"
    " b'ab' AS raw, [NUMERIC '0.1'] AS list, CAST(NULL AS STRING) AS nothing"
)


def test_a_select_answers_with_columns_types_and_every_digit(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask("POST", PATH, org="acme", json={"sql": TYPED})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["columns"] == ["n", "money", "day", "at", "raw", "list", "nothing"]
        kinds = ["INT64", "NUMERIC", "DATE", "TIMESTAMP", "BYTES", "ARRAY", "STRING"]
        assert list(found["types"].values()) == kinds
        (row,) = found["rows"]
        assert row["at"] == "2026-11-07T01:02:03.000000Z"
        assert found["truncated"] is False
        (typed,) = result_of(found).rows
        assert [str(typed[name]) for name in ("n", "money", "day", "raw", "nothing")] == [
            "1", row["money"], "2026-11-07", "b'ab'", "None",
        ]  # fmt: skip
        assert (await api.ask("POST", PATH, headers=ROOT, json={"sql": "SELECT 1 AS n"})).json()["rows"] == [{"n": 1}]

    run_scenario(scenario)


def test_rows_bytes_and_time_are_bounded(run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    many = "SELECT n FROM UNNEST(GENERATE_ARRAY(1, 50)) AS n ORDER BY n"

    async def scenario(api: Api) -> None:
        cut = (await api.ask("POST", PATH, org="acme", json={"sql": many, "limit": 3})).json()
        assert ([row["n"] for row in cut["rows"]], cut["truncated"]) == ([1, 2, 3], True)
        monkeypatch.setattr(query, "ANSWER_BYTES_MAX", 100)
        large = await api.ask("POST", PATH, org="acme", json={"sql": many})
        assert (large.status_code, "may have at most 100" in large.json()["detail"]) == (422, True)
        for body in ({"sql": many, "limit": 10_001}, {"sql": many, "timeout_s": 61}, {"sql": "x" * 100_001}, {}):
            assert (await api.ask("POST", PATH, org="acme", json=body)).status_code == 422

    run_scenario(scenario)


@pytest.mark.parametrize(
    "sql",
    ["DELETE FROM org_meta_pipeline_runs WHERE TRUE", "SELECT * FROM globex_dev.x", "SELEC 1", "SELECT 1; SELECT 2"],
)
def test_what_is_not_one_select_over_the_own_dataset_is_refused(run_scenario: RunScenario, sql: str) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask("POST", PATH, org="acme", json={"sql": sql})
        assert answer.status_code in {400, 422}, answer.text
        assert answer.json()["code"] == "input.invalid", answer.text

    run_scenario(scenario, orgs=("acme", "globex"))


def test_it_needs_a_key_of_the_org_with_the_scope_read(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        body = {"sql": "SELECT 1 AS n"}
        assert (await api.ask("POST", PATH, json=body)).status_code == 401
        assert (await api.ask("POST", PATH, org="globex", json=body)).status_code == 403
        for scope, status in (("run", 403), ("read", 200)):
            asked = {"scopes": [scope]}
            key = (await api.ask("POST", "/organizations/acme/keys", headers=ROOT, json=asked)).json()["api_key"]
            answer = await api.ask("POST", PATH, headers={"X-API-Key": key}, json=body)
            assert answer.status_code == status, answer.text

    run_scenario(scenario, orgs=("acme", "globex"))
