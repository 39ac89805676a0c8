"""An API without a schema file, from its first run to the file that is written out of its table."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.unit.entry.conftest import Cli

PIPELINE = """
pipeline_id: "{{org_slug}}-shop-orders"
provider: shop
steps:
  - step_id: extract_orders
    ps_type: generic.api_extractor
    config: {{url: "{url}/{{date}}", data_path: data, pagination: {{type: none}}, allow_private_addresses: true}}
    destination: {{table: shop_orders_daily_raw{schema}}}
  - step_id: check_orders
    ps_type: generic.dq_check
    depends_on: extract_orders
    config:
      table: shop_orders_daily_raw
      checks: [{{type: row_count, min: 1}}]
"""
DAYS: dict[str, list[dict[str, Any]]] = {
    "2026-11-10": [{"id": 1, "amount": 12.5, "Paid With": "card"}],
    "2026-11-11": [{"id": 2, "amount": 0.1, "vat": {"rate": 0.19}}, {"id": "three", "amount": 1}],
}


PAGES = """
pipeline_id: "{{org_slug}}-shop-pages"
provider: shop
steps:
  - step_id: extract_pages
    ps_type: generic.api_extractor
    config:
      url: "{url}/pages"
      data_path: data
      pagination: {{type: page, param: page, start: 1}}
      allow_private_addresses: true
    destination: {{table: shop_pages_daily_raw, checkpoint_rows: 1, schema: {{mode: infer, contract: freeze}}}}
"""
PAGE: dict[str, list[dict[str, Any]]] = {
    "1": [{"id": 1}],
    "2": [{"id": 2, "late": 1.5}],
    "3": [{"id": 3, "more": {"a": []}}],
}


class Orders(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path, _, page = self.path.strip("/").partition("?page=")
        body = json.dumps({"data": PAGE.get(page or "1", []) if path == "pages" else DAYS[path]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Orders)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def write(configs: Path, url: str, schema: str) -> None:
    (configs / "shop" / "orders.yml").write_text(PIPELINE.format(url=url, schema=schema))


def test_records_land_raw_where_no_file_describes_the_table(acme: Cli, configs: Path, url: str) -> None:
    write(configs, url, "")
    assert acme("validate", "shop/orders").code == 0
    assert acme("run", "acme", "shop/orders", "-p", "date=2026-11-10", "--wait").code == 0
    (row,) = acme("query", "acme", "SELECT record FROM shop_orders_daily_raw", "--json").data["rows"]
    assert row["record"] == DAYS["2026-11-10"][0]


def test_inferred_columns_are_shown_by_status_and_written_out_as_a_file(acme: Cli, configs: Path, url: str) -> None:
    write(configs, url, ", schema: {mode: infer}")
    assert acme("validate", "shop/orders").code == 0
    for day in DAYS:
        ran = acme("run", "acme", "shop/orders", "-p", f"date={day}", "--wait", "--json")
        assert ran.code == 0, ran.err
    (warning,) = acme("status", ran.data["run_id"], "--json").data["warnings"]
    assert warning == (
        "extract_orders: shop_orders_daily_raw has new columns: vat JSON; id__string STRING for values of 'id' that are"
        " STRING"
    )
    assert warning in acme("status", ran.data["run_id"]).out
    assert acme("schemas", "infer", "acme", "nothing").code == 2
    written = acme("schemas", "infer", "acme", "shop_orders_daily_raw")
    file = configs / "shop" / "schemas" / "shop_orders_daily_raw.json"
    file.parent.mkdir()
    file.write_text(written.out)
    types = {field["name"]: field["type"] for field in json.loads(written.out)["fields"]}
    assert types == {"id": "INT64", "amount": "NUMERIC", "Paid_With": "STRING", "vat": "JSON", "id__string": "STRING"}
    again = acme("run", "acme", "shop/orders", "-p", "date=2026-11-11", "--wait")
    assert again.code == 0, again.err
    rows = acme("query", "acme", "SELECT id, id__string, amount FROM shop_orders_daily_raw ORDER BY amount", "--json")
    assert [list(row.values()) for row in rows.data["rows"]] == [
        [2, None, "0.1"],
        [None, "three", "1"],
        [1, None, "12.5"],
    ]


def test_columns_that_come_in_a_later_slice_are_loaded_with_the_earlier_ones(
    acme: Cli, configs: Path, url: str
) -> None:
    file = configs / "shop" / "pages.yml"
    file.write_text(PAGES.format(url=url))
    ran = acme("run", "acme", "shop/pages", "-p", "date=2026-11-10", "--wait", "--json")
    assert ran.code == 0, ran.err
    sql = "SELECT id, late, TO_JSON_STRING(more) AS more FROM shop_pages_daily_raw ORDER BY id"
    found = acme("query", "acme", sql, "--json")
    assert found.code == 0, found.err
    assert [list(row.values()) for row in found.data["rows"]] == [
        [1, None, "null"],
        [2, "1.5", "null"],
        [3, None, '{"a":[]}'],
    ]


def test_the_schema_file_of_a_parquet_file_has_its_types(cli: Cli, configs: Path, tmp_path: Path) -> None:
    columns = (
        "1::BIGINT AS id, 12.5::DECIMAL(18,4) AS \"Cost (USD)\", 1::DECIMAL(38,12) AS rate, DATE '2026-11-10' AS day,"
        " TIMESTAMPTZ '2026-11-10 00:00:00Z' AS at, ['a'] AS tags, {'k': 0.5::DECIMAL(10,2)} AS nested"
    )
    with duckdb.connect() as database:
        database.execute(f"COPY (SELECT {columns}) TO '{tmp_path / 'orders.parquet'}' (FORMAT parquet)")
    printed = cli("schemas", "infer", "--parquet", "orders.parquet")
    assert printed.code == 0, printed.err
    fields = {field["name"]: field for field in json.loads(printed.out)["fields"]}
    assert {name: (field["type"], field["mode"]) for name, field in fields.items()} == {
        "id": ("INT64", "NULLABLE"),
        "Cost_USD": ("NUMERIC", "NULLABLE"),
        "rate": ("BIGNUMERIC", "NULLABLE"),
        "day": ("DATE", "NULLABLE"),
        "at": ("TIMESTAMP", "NULLABLE"),
        "tags": ("STRING", "REPEATED"),
        "nested": ("STRUCT", "NULLABLE"),
    }
    assert fields["nested"]["fields"] == [{"name": "k", "type": "NUMERIC", "mode": "NULLABLE"}]
    assert 'config.columns: {"Cost_USD": "Cost (USD)"}' in printed.err
    (configs / "shop/schemas").mkdir()
    (configs / "shop/schemas/shop_orders_raw.json").write_text(printed.out)
    assert cli("validate", "shop/schemas").code == 0

    (tmp_path / "notes.parquet").write_text("no")
    for words, said in (
        (("--parquet", "notes.parquet"), "notes.parquet cannot be read as Parquet"),
        (("--parquet", "gone.parquet"), "gone.parquet cannot be read as Parquet"),
        (("acme", "t", "--parquet", "orders.parquet"), "name a table, or --parquet"),
        (("acme",), "name an org and a table, or --parquet"),
    ):
        refused = cli("schemas", "infer", *words)
        assert (refused.code, said in refused.err) == (2, True), refused.err
