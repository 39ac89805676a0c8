"""BigQuery for one billing export that is really queried: the statement runs in the embedded warehouse."""

from __future__ import annotations

import asyncio
import gzip
import json
import tempfile
import threading
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.schemas.table import load_table_schema
from convergence.ports.warehouse import Lineage, Load, Parameter, Scope, Statement, TableSchema
from convergence.sandbox import billing_export
from tests.unit.processors.step_world import NOW, ManualClock

SAMPLE: Final = Path(__file__).with_name("gcp_billing_export_resource_v1.jsonl.gz")
_PAIR: Final = "key value"
# Name → type, or the fields of a record; a star marks what is repeated. All columns of Google's schema that are read.
_SCHEMA: Final[dict[str, str]] = {
    "billing_account_id": "STRING", "service": "id description", "sku": "id description",
    "usage_start_time": "TIMESTAMP", "usage_end_time": "TIMESTAMP", "labels*": _PAIR, "system_labels*": _PAIR,
    "location": "location country region zone", "resource": "name global_name",
    "tags*": "key value inherited:BOOL namespace",
    "price": "list_price:NUMERIC effective_price:NUMERIC tier_start_amount:NUMERIC pricing_unit_quantity:NUMERIC",
    "transaction_type": "STRING", "seller_name": "STRING", "export_time": "TIMESTAMP", "cost": "FLOAT",
    "currency": "STRING", "currency_conversion_rate": "FLOAT", "cost_type": "STRING", "cost_at_list": "FLOAT",
    "usage": "amount:FLOAT unit amount_in_pricing_units:FLOAT pricing_unit",
    "credits*": "id name full_name type amount:FLOAT", "invoice": "month publisher_type",
    "adjustment_info": "id description mode type",
}  # fmt: skip
_KINDS: Final = ((bool, "BOOLEAN"), (int, "INTEGER"), (Decimal, "BIGNUMERIC"), (datetime, "TIMESTAMP"), (date, "DATE"))

Result = tuple[list[dict[str, Any]], list[dict[str, Any]]]


def sample() -> list[dict[str, Any]]:
    """Return the rows of the sample export; floats as their digits."""
    with gzip.open(SAMPLE, "rt", encoding="utf-8") as lines:
        return [json.loads(line, parse_float=Decimal) for line in lines]


class Export:
    """Answers a query of `billing_export.TABLE` from these rows."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows, self.queries = rows, 0

    def __call__(self, body: Mapping[str, Any]) -> Result:
        """Run the statement on a thread of its own: the server answers without waiting."""
        found: list[Result] = []
        thread = threading.Thread(target=lambda: found.append(asyncio.run(self._run(body))))
        thread.start()
        thread.join()
        self.queries += 1
        return found[0]

    async def _run(self, body: Mapping[str, Any]) -> Result:
        warehouse = DuckDbWarehouse(None, clock=ManualClock())
        try:
            await _loaded(warehouse, self.rows)
            sql = body["query"].replace(billing_export.TABLE, "billing.exported")
            values = {one["name"]: _parameter(one) for one in body["queryParameters"]}
            statement = Statement(sql, values, scope=Scope(dataset="billing"), rows_max=10**6)
            rows = (await warehouse.query(statement)).rows
            return [_field(name, [row[name] for row in rows]) for name in rows[0]] if rows else [], [
                {name: _sent(value) for name, value in row.items()} for row in rows
            ]
        finally:
            warehouse.close()


async def _loaded(warehouse: DuckDbWarehouse, rows: Sequence[Mapping[str, Any]]) -> None:
    schema = _schema()
    await warehouse.ensure_table("billing", schema)
    stage = warehouse.stage("billing", schema, "rows")
    await stage.write(0, rows)
    lineage = Lineage(org_slug="them", pipeline_id="p", credential_id="", run_id="r", ingested_at=NOW)
    await warehouse.load(Load(job_id="j", dataset="billing", table=schema, lineage=lineage, dates=None), stage)


def _schema() -> TableSchema:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "exported.json")
        path.write_text(json.dumps([*map(_described, _SCHEMA.items()), _project()]), "utf-8")
        return load_table_schema(path)


def _described(item: tuple[str, str]) -> dict[str, Any]:
    name, kind = item
    if kind.isupper():
        return {"name": name, "type": kind}
    fields = [dict(zip(("name", "type"), (*each.split(":"), "STRING"), strict=False)) for each in kind.split()]
    mode = "REPEATED" if name.endswith("*") else "NULLABLE"
    return {"name": name.rstrip("*"), "type": "RECORD", "mode": mode, "fields": fields}


def _project() -> dict[str, Any]:
    fields = [{"name": name, "type": "STRING"} for name in ("id", "number", "name", "ancestry_numbers")]
    return {"name": "project", "type": "RECORD", "fields": [*fields, _described(("labels*", _PAIR))]}


def _parameter(one: Mapping[str, Any]) -> Parameter:
    kind, given = one["parameterType"]["type"], one["parameterValue"]
    if kind == "ARRAY":
        return Parameter("ARRAY<STRING>", [each["value"] for each in given["arrayValues"]])
    text = given["value"]
    return Parameter(kind, date.fromisoformat(text) if kind == "DATE" else datetime.fromisoformat(text))


def _field(name: str, values: Sequence[Any]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    if known and isinstance(known[0], list):
        records = [record for value in known for record in value]
        inner = [_field(each, [record[each] for record in records]) for each in (records[0] if records else ())]
        return {"name": name, "type": "RECORD", "mode": "REPEATED", "fields": inner}
    kind = next((word for python, word in _KINDS if known and isinstance(known[0], python)), "STRING")
    return {"name": name, "type": kind}


def _sent(value: Any) -> Any:
    if isinstance(value, list):
        return [{name: _sent(each) for name, each in record.items()} for record in value]
    return f"{value:f}" if isinstance(value, Decimal) else value
