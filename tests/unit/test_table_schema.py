"""Schema files: BigQuery's JSON in both its forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from convergence.config.catalog import Catalog
from convergence.config.files.schemas.folder import TableSchemas
from convergence.config.files.schemas.table import load_table_schema
from convergence.config.files.schemas.written import schema_file
from convergence.errors import ConfigError, NotFound
from convergence.ports.warehouse import LINEAGE_COLUMNS, Column

CONFIGS = Path(__file__).parents[2] / "configs"


def written(folder: Path, content: Any, name: str = "usage") -> Path:
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_plain_list_of_fields_gets_the_lineage_columns_behind_its_own(tmp_path: Path) -> None:
    table = load_table_schema(written(tmp_path, [{"name": "cost", "type": "numeric", "mode": "required"}]))
    assert table.name == "usage"
    assert table.columns[0] == Column("cost", "NUMERIC", "REQUIRED")
    assert tuple(column.name for column in table.columns[1:]) == LINEAGE_COLUMNS
    assert table.partition_by == "x_pipeline_run_date"


def test_another_name_of_a_table_leads_to_the_table(tmp_path: Path) -> None:
    content = {"also_named": ["older_usage"], "fields": [{"name": "cost", "type": "NUMERIC"}]}
    written(tmp_path / "schemas", content)
    schemas = TableSchemas(tmp_path)
    assert schemas.get("older_usage") == schemas.get("usage")
    assert schemas.get("older_usage").also_named == ("older_usage",)
    written(tmp_path / "schemas", content, name="other")
    with pytest.raises(ConfigError, match="two files describe the table 'older_usage'"):
        TableSchemas(tmp_path).check_names()
    with pytest.raises(ConfigError, match="also_named must be a list of table names"):
        load_table_schema(written(tmp_path, {**content, "also_named": ["a b"]}))


def test_a_copy_of_another_table_has_its_fields_and_none_is_required(tmp_path: Path) -> None:
    content = {"nullable_copy_of": "base", "fields": [{"name": "reason", "type": "STRING"}]}
    path = written(tmp_path, content)
    with pytest.raises(ConfigError, match=r"`nullable_copy_of` names 'base', but there is no file base\.json"):
        load_table_schema(path)
    written(tmp_path, {"fields": 3}, name="base")
    with pytest.raises(ConfigError, match="names 'base', which has no list of `fields`"):
        load_table_schema(path)
    written(tmp_path, [{"name": "cost", "type": "NUMERIC", "mode": "REQUIRED"}], name="base")
    assert load_table_schema(path).columns[:2] == (Column("cost", "NUMERIC", "NULLABLE"), Column("reason", "STRING"))


def test_lineage_columns_that_a_file_names_keep_their_place(tmp_path: Path) -> None:
    fields = [{"name": "x_org_slug", "type": "STRING", "mode": "REQUIRED"}, {"name": "a", "type": "INT64"}]
    names = [column.name for column in load_table_schema(written(tmp_path, fields)).columns]
    assert names[:2] == ["x_org_slug", "a"]
    assert sorted(names[2:]) == sorted(set(LINEAGE_COLUMNS) - {"x_org_slug"})


@pytest.mark.parametrize(
    "options",
    [
        {"partition_by": "day", "cluster_by": ["a", "b"]},
        {"time_partitioning": {"type": "DAY", "field": "day"}, "clustering": {"fields": ["a", "b"]}},
        {"timePartitioning": {"field": "day"}, "clustering": ["a", "b"]},
    ],
)
def test_an_object_says_partition_and_clusters_in_its_own_words_or_bigquerys(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    content = {"description": "d", "fields": [{"name": "a", "type": "INT64"}], **options}
    table = load_table_schema(written(tmp_path, content))
    assert (table.description, table.partition_by, table.cluster_by) == ("d", "day", ("a", "b"))


def test_records_hold_fields(tmp_path: Path) -> None:
    fields = [{"name": "tags", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "key", "type": "STRING"}]}]
    table = load_table_schema(written(tmp_path, fields))
    assert table.columns[0].fields == (Column("key", "STRING"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{", r"usage\.json:1:3: not valid JSON"),
        ({"fields": []}, "a list of fields is expected"),
        ([{"name": "a", "type": "INT46"}], r"usage\.json: a: 'INT46' is not a column type\. Did you mean 'INT64'"),
        ([{"name": "a", "type": "INT64", "mdoe": "REQUIRED"}], "unknown key 'mdoe'. Did you mean 'mode'"),
        ([{"name": "a", "type": "INT64", "mode": "REQUIRD"}], "'REQUIRD' is not a mode. Did you mean 'REQUIRED'"),
        ([{"name": "a b", "type": "INT64"}], "'a b' is not a column name"),
        ([{"name": "a", "type": "INT64"}, {"name": "A", "type": "STRING"}], "the column 'A' appears twice"),
        ([{"name": "a", "type": "RECORD"}], "a RECORD must have fields"),
        ([{"name": "a", "type": "NUMERIC", "scale": 2}], "scale needs a precision"),
        ([{"name": "a", "type": "NUMERIC", "maxLength": 2}], "a NUMERIC does not take maxLength"),
        ([{"name": "a", "type": "INT64", "precision": 2}], "INT64 takes no length or precision"),
        ([{"name": "a", "type": "STRING", "maxLength": "x"}], "whole numbers are needed"),
        ([{"name": "a", "type": "DECIMAL", "precision": 40, "scale": 2}], "at most 29 digits before the point"),
        (
            [{"name": "a", "type": "STRING", "mode": "REPEATED", "maxLength": 2}],
            "a REPEATED STRING does not take maxLength: the embedded warehouse could not check it. Leave it out",
        ),
        (
            [{"name": "a", "type": "RECORD", "fields": [{"name": "b", "type": "STRING", "maxLength": 2}]}],
            "a field of a RECORD takes no length or precision: the embedded warehouse could not check it. Leave it out",
        ),
        ([{"name": "a", "type": "RECORD", "fields": [{"name": "b", "type": "X"}]}], r"a\.b: 'X' is not a column type"),
        ([{"name": "x_run_id", "type": "INT64"}], "the lineage column 'x_run_id' must be STRING"),
        (["a"], "a field must be an object"),
    ],
)
def test_a_mistake_says_file_and_place(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_table_schema(written(tmp_path, content))


def test_tables_are_found_by_name_in_schema_and_seed_folders(tmp_path: Path) -> None:
    fields = [{"name": "a", "type": "INT64"}]
    written(tmp_path / "openai" / "cost" / "schemas", fields, "usage")
    written(tmp_path / "openai" / "seed", fields, "prices")
    written(tmp_path / "notifications", {"no": "schema"}, "config")
    schemas = TableSchemas(tmp_path)
    assert {schemas.get(name).name for name in ("usage", "prices")} == {"usage", "prices"}
    with pytest.raises(NotFound, match=r"No schema file is called usge\.json\. Did you mean 'usage'"):
        schemas.get("usge")


def test_two_files_for_one_table_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        written(tmp_path / folder / "schemas", [{"name": "a", "type": "INT64"}])
    with pytest.raises(
        ConfigError,
        match=r"b/schemas/usage\.json:1: two files describe the table 'usage': the other is a/schemas/usage\.json:1",
    ):
        TableSchemas(tmp_path).get("usage")


SEVERAL = """{
 "version": "1.0",
 "inherits": "base",
 "schemas": {
  "base": {"fields": [{"name": "day", "type": "DATE"}, {"name": "cost", "type": "FLOAT64"}]},
  "billing": {"partition_by": "day", "fields": [{"name": "cost", "type": "NUMERIC"}, {"name": "s", "type": "STRING"}]},
  "plain": [{"name": "a", "type": "INT64"}]
 }
}"""


def test_a_file_may_describe_several_tables_that_inherit_fields(tmp_path: Path) -> None:
    written(tmp_path / "aws" / "schemas", SEVERAL, "billing_raw")
    schemas = TableSchemas(tmp_path)
    assert {"base", "billing", "plain"} <= set(schemas.paths)
    billing = schemas.get("billing")
    assert [(column.name, column.type) for column in billing.columns[:3]] == [
        *(("day", "DATE"), ("cost", "NUMERIC"), ("s", "STRING"))
    ]
    assert (billing.name, billing.partition_by) == ("billing", "day")
    assert schemas.get("plain").columns[2].name == "a"


def test_two_files_of_one_name_may_describe_different_tables_but_not_the_same(tmp_path: Path) -> None:
    written(tmp_path / "aws" / "schemas", SEVERAL, "billing_raw")
    written(tmp_path / "oci" / "schemas", SEVERAL.replace("billing", "oci"), "billing_raw")
    with pytest.raises(
        ConfigError, match=r"oci/schemas/billing_raw\.json:7: .*'plain': the other is aws/schemas/.*:7$"
    ):
        TableSchemas(tmp_path).get("billing")


def test_files_may_use_one_name_for_the_base_of_their_tables(tmp_path: Path) -> None:
    for folder in ("aws", "gcp", "oci"):
        several = (
            SEVERAL.replace("billing", folder).replace("plain", f"{folder}_plain").replace("cost", f"{folder}_cost")
        )
        written(tmp_path / folder / "schemas", several, "billing_raw")
    schemas = TableSchemas(tmp_path)
    assert [schemas.get(folder).columns[1].name for folder in ("aws", "oci")] == ["aws_cost", "oci_cost"]
    assert "base" not in schemas.paths
    with pytest.raises(ConfigError, match="two files describe the table 'base'"):
        schemas.get("base")


def test_a_base_and_a_table_of_one_name_are_two_descriptions(tmp_path: Path) -> None:
    written(tmp_path / "aws" / "schemas", SEVERAL, "billing_raw")
    written(tmp_path / "oci" / "schemas", [{"name": "a", "type": "INT64"}], "base")
    with pytest.raises(ConfigError, match="two files describe the table 'base'"):
        TableSchemas(tmp_path).check_names()


def test_an_extractor_does_not_land_raw_in_a_table_of_such_a_name(tmp_path: Path) -> None:
    for folder in ("aws", "oci"):
        several = SEVERAL.replace("billing", folder).replace("plain", f"{folder}_plain")
        written(tmp_path / folder / "schemas", several, "billing_raw")
    pipeline = """steps:
  - step_id: load
    ps_type: generic.file_extractor
    source: {kind: folder, path: a.csv}
    destination: {table: base}
"""
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "daily.yml").write_text(pipeline)
    problems = [str(problem) for problem in Catalog(tmp_path).validate().problems]
    assert any("two files describe the table 'base'" in problem for problem in problems), problems


@pytest.mark.parametrize("given", ["5", '["base", 5]', '[["base"]]', '{"base": 1}'])
def test_what_a_table_inherits_is_a_name(tmp_path: Path, given: str) -> None:
    """Also where another file has the same base, so that both are asked for their bases."""
    wrong = SEVERAL.replace('"inherits": "base"', f'"inherits": {given}')
    for folder, content in (("aws", SEVERAL), ("oci", wrong)):
        written(tmp_path / folder / "schemas", content.replace("billing", folder), "billing_raw")
    problems = [str(problem) for problem in Catalog(tmp_path).validate().problems]
    assert any("inherits names" in problem and "oci/schemas" in problem for problem in problems), problems


def test_what_a_table_inherits_must_be_there(tmp_path: Path) -> None:
    path = written(tmp_path, SEVERAL.replace('"inherits": "base"', '"inherits": "bass"'))
    with pytest.raises(ConfigError, match=r"inherits names 'bass', .* Did you mean 'base'"):
        load_table_schema(path, "billing")


def test_lengths_and_precisions_are_read_and_written(tmp_path: Path) -> None:
    fields = [
        {"name": "cost", "type": "NUMERIC", "mode": "NULLABLE", "precision": 10, "scale": 2},
        {"name": "code", "type": "STRING", "mode": "NULLABLE", "maxLength": 3},
    ]
    table = load_table_schema(written(tmp_path, fields))
    assert [column.bounds for column in table.columns[:2]] == [(10, 2), (3,)]
    assert json.loads(schema_file(table.columns))["fields"] == fields


def test_every_schema_file_of_the_product_loads() -> None:
    schemas = TableSchemas(CONFIGS)
    for name in schemas.paths:
        assert {column.name for column in schemas.get(name).columns} >= set(LINEAGE_COLUMNS)
