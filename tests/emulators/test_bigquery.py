"""BigQuery's stand-in knows every project that it met, however many: it keeps only a few of them open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client

from tests.emulators.bigquery import running

pytestmark = pytest.mark.emulator
TABLE = "CREATE TABLE d.t (id INT64 NOT NULL, place STRUCT<city STRING>)"
VIEW = "CREATE VIEW d.v AS SELECT id FROM d.t"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("bigquery")
    with running(folder) as address:
        yield address


def client(address: str, project: str) -> Client:
    options = ClientOptions(api_endpoint=f"http://{address}")
    return Client(project=project, credentials=AnonymousCredentials(), client_options=options)


def test_a_project_is_as_it_was_when_many_others_were_used_since(address: str) -> None:
    first = client(address, "first")
    first.create_dataset("d")
    for sql in (TABLE, "INSERT INTO d.t (id) VALUES (1), (2)", VIEW, "ALTER TABLE d.t ADD COLUMN late INT64"):
        first.query_and_wait(sql)
    for number in range(6):
        client(address, f"other-{number}").create_dataset("d")

    assert sorted((each.table_id, each.table_type) for each in first.list_tables("d")) == [
        ("t", "TABLE"),
        ("v", "VIEW"),
    ]
    table = first.get_table("d.t")
    assert table.num_rows == 2
    assert [(each.name, each.mode) for each in table.schema] == [
        ("id", "REQUIRED"),
        ("place", "NULLABLE"),
        ("late", "NULLABLE"),
    ]
    assert [row["id"] for row in first.query_and_wait("SELECT id FROM d.v ORDER BY id")] == [1, 2]
    first.query_and_wait("DROP VIEW d.v; DROP TABLE d.t")
    assert list(first.list_tables("d")) == []
    with pytest.raises(NotFound, match=r"d\.t"):
        first.query_and_wait("SELECT * FROM d.t")
    assert [each.dataset_id for each in client(address, "other-0").list_datasets()] == ["d"]
