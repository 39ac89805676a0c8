"""Few rows are a parameter of the statement that loads them: no load job, no staging table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Any, Final

import pytest

from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from convergence.ports.warehouse import Column, Lineage, Load, TableSchema
from tests.unit.adapters.bigquery_recorder import NOW, Recorder, with_warehouse

TABLE: Final = TableSchema(
    "t",
    (
        Column("id", "INT64", "REQUIRED"),
        Column("cost", "NUMERIC(10, 2)"),
        Column("open", "BOOL"),
        Column("share", "FLOAT64"),
        Column("raw", "JSON"),
        Column("place", "RECORD", fields=(Column("city", "STRING"),)),
        Column("tags", "RECORD", "REPEATED", fields=(Column("key", "STRING"), Column("values", "INT64", "REPEATED"))),
    ),
    partition_by=None,
)
LINEAGE: Final = Lineage(org_slug="acme", pipeline_id="p", credential_id="c", run_id="r", ingested_at=NOW)
LOAD: Final = Load(dataset="acme_prod", table=TABLE, lineage=LINEAGE, job_id="j", dates=(date(2026, 1, 1),))
Rows = Sequence[dict[str, Any]]


def loading(*stages: Rows) -> Callable[[BigQueryWarehouse], Awaitable[Any]]:
    """Load rows of several stages together."""

    async def body(warehouse: BigQueryWarehouse) -> None:
        made = [warehouse.stage("acme_prod", TABLE, f"s{number}") for number in range(len(stages))]
        for stage, rows in zip(made, stages, strict=True):
            await stage.write(0, rows)
        await warehouse.load(LOAD, *made)

    return body


def parameters(recorder: Recorder) -> dict[str, dict[str, Any]]:
    """Return the parameters of the last statement by name."""
    return {each["name"]: each for each in recorder.sent[-1]["query"]["queryParameters"]}


def test_few_rows_need_one_job_and_no_staging_table(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    with_warehouse(address, loading([{"id": 1, "place": {}}], [{"id": 2, "place": {}}]))
    assert list(recorder.jobs) == ["j"]
    assert not [path for _, path, _ in recorder.stored if "convergence_staging" in path]


def test_values_are_sent_as_a_load_job_reads_them(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    row = {
        "id": 2**63 - 1,
        "cost": "12.10",
        "open": True,
        "share": 0.1,
        "raw": {"a": [None]},
        "place": {"city": None},
        "tags": [{"key": "k", "values": [1]}],
    }
    with_warehouse(address, loading([row, {"id": 1, "place": {"city": "Rome"}}]))
    sent = parameters(recorder)["rows_0"]
    fields = {each["name"]: each["type"] for each in sent["parameterType"]["arrayType"]["structTypes"]}
    assert [*fields] == ["x_part", "x_place", "id", "cost", "open", "share", "raw", "place", "tags"]
    assert (fields["cost"], fields["raw"]) == ({"type": "NUMERIC"}, {"type": "STRING"})
    assert fields["tags"]["arrayType"]["structTypes"][1]["type"] == {"type": "ARRAY", "arrayType": {"type": "INT64"}}
    first, second = (each["structValues"] for each in sent["parameterValue"]["arrayValues"])
    assert {name: first[name] for name in ("id", "cost", "open", "share", "raw", "place")} == {
        "id": {"value": "9223372036854775807"},
        "cost": {"value": "12.1"},
        "open": {"value": "true"},
        "share": {"value": "0.1"},
        "raw": {"value": '{"a":[null]}'},
        "place": {"structValues": {"city": {"value": None}}},
    }
    values = {"arrayValues": [{"value": "1"}]}
    assert first["tags"] == {"arrayValues": [{"structValues": {"key": {"value": "k"}, "values": values}}]}
    assert (second["cost"], second["tags"]) == ({"value": None}, {"arrayValues": []})


@pytest.mark.parametrize(
    "stages",
    [
        pytest.param([[{"id": 1, "place": {"city": "x" * 100_001}}]], id="many bytes"),
        pytest.param([[{"id": 1, "place": {"city": "x" * 60_000}}]] * 2, id="many bytes together"),
        pytest.param([[{"id": 1}]], id="a record that is null"),
        pytest.param([[{"id": 1, "place": {"city": "x"}}], [{"id": 2}]], id="one stage is enough"),
    ],
)
def test_what_a_parameter_cannot_hold_comes_by_load_jobs(
    bigquery_server: tuple[Recorder, str], stages: list[Rows]
) -> None:
    recorder, address = bigquery_server
    with_warehouse(address, loading(*stages))
    assert sum("load" in each for each in recorder.sent) == len(stages)
    assert not [name for name in parameters(recorder) if name.startswith("rows_")]
