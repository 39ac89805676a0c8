"""Procedures folded for a call: which SQL is known before it, and which is refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final

import pytest
from tests.contract.warehouse.routines import SCOPE

from convergence.adapters.googlesql.procedures.fold import fold_procedure, known_arguments
from convergence.adapters.googlesql.procedures.folded import Folded
from convergence.adapters.googlesql.procedures.parser import parse_procedure
from convergence.adapters.googlesql.procedures.reach import read_folded
from convergence.adapters.googlesql.procedures.text import with_project
from convergence.adapters.googlesql.scripts.nodes import Procedure
from convergence.config.files.procedures import load_procedures
from convergence.errors import Denied, StepFailed
from convergence.ports.warehouse import Parameter

CONFIGS: Final = Path(__file__).parents[3] / "configs"
ARGUMENTS: Final = "p_project STRING, p_dataset STRING, p_day DATE, p_n INT64, p_null STRING, OUT p_out STRING"
VALUES: Final = {
    "p_project": Parameter("STRING", "demo"),
    "p_dataset": Parameter("STRING", "acme_prod"),
    "p_day": Parameter("STRING", "2026-01-31"),
    "p_n": Parameter("INT64", 7),
    "p_null": Parameter("STRING", None),
}


def folded(body: str, others: Mapping[str, str] | None = None) -> Folded:
    def parsed(name: str, text: str, arguments: str) -> Procedure:
        return parse_procedure(f"CREATE PROCEDURE o.{name}({arguments})\nBEGIN\n{text}\nEND;", f"{name}.sql")

    procedure = parsed("sp_own", body, ARGUMENTS)
    found = {f"o.{name}": parsed(name, text, "IN p_table STRING, OUT p_answer STRING") for name, text in
             (others or {}).items()}  # fmt: skip
    return fold_procedure(procedure, known_arguments(procedure, VALUES), found.__getitem__, {"@@project_id": "demo"})


def texts(body: str) -> list[str | None]:
    return list(folded(body).texts.values())


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("FORMAT('SELECT 1 FROM `%s.%s.t`', p_project, p_dataset)", "SELECT 1 FROM `demo.acme_prod.t`"),
        ("FORMAT('''SELECT \"50%%\", %d, %02d, %t, %T, %T''', p_n, p_n, p_day, p_day, p_dataset)",
         'SELECT "50%", 7, 07, 2026-01-31, DATE "2026-01-31", "acme_prod"'),
        ("'SELECT 1 FROM ' || p_dataset || FORMAT_DATE('.t_%Y%m%d', p_day)", "SELECT 1 FROM acme_prod.t_20260131"),
        ("CONCAT('SELECT ', CAST(p_n AS STRING), r'\\d')", "SELECT 7\\d"),
        ("REPLACE('SELECT 1 FROM {d}.t', '{d}', LOWER(p_dataset))", "SELECT 1 FROM acme_prod.t"),
        ("COALESCE(p_null, 'SELECT 1')", "SELECT 1"),
        ("IF(p_null IS NULL AND p_n = 7, 'SELECT 1', 'SELECT 2')", "SELECT 1"),
        ("CASE p_n WHEN 6 THEN 'SELECT 6' WHEN 7 THEN 'SELECT 7' END", "SELECT 7"),
        ("CONCAT('SELECT 1', p_null)", None),
        ("p_out", None),
        ("FORMAT('SELECT %s', p_null)", None),
        ("FORMAT('SELECT \"%t\"', p_null)", 'SELECT "NULL"'),
        ("CONCAT('SELECT 1 FROM `', @@project_id, '.d.t`')", "SELECT 1 FROM `demo.d.t`"),
    ],
)  # fmt: skip
def test_what_is_made_of_arguments_and_constants_is_known(expression: str, text: str | None) -> None:
    assert texts(f"EXECUTE IMMEDIATE {expression};") == [text]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("DECLARE v STRING DEFAULT p_dataset; EXECUTE IMMEDIATE 'SELECT 1 FROM ' || v || '.t';",
         ["SELECT 1 FROM acme_prod.t"]),
        ("DECLARE v STRING; SET v = 'SELECT 1'; EXECUTE IMMEDIATE v; SET v = v || '+ 1'; EXECUTE IMMEDIATE v;",
         ["SELECT 1", "SELECT 1+ 1"]),
        ("DECLARE v STRING; IF p_n = 7 THEN SET v = 'SELECT 7'; ELSE SET v = p_null; END IF; EXECUTE IMMEDIATE v;",
         ["SELECT 7"]),
        ("DECLARE v STRING; IF (SELECT TRUE) THEN SET v = 'SELECT 7'; ELSE SET v = 'SELECT 7'; END IF;"
         " EXECUTE IMMEDIATE v;", ["SELECT 7"]),
        ("DECLARE v STRING; DECLARE w STRING DEFAULT 'SELECT 1'; WHILE TRUE DO SET v = 'x'; EXECUTE IMMEDIATE w;"
         " END WHILE;", ["SELECT 1"]),
        ("BEGIN DECLARE v STRING DEFAULT 'SELECT 1'; EXECUTE IMMEDIATE v; END;"
         " BEGIN DECLARE v STRING DEFAULT 'SELECT 2'; EXECUTE IMMEDIATE v; END;", ["SELECT 1", "SELECT 2"]),
    ],
)  # fmt: skip
def test_values_are_followed_through_variables_and_branches(body: str, expected: list[str]) -> None:
    assert texts(body) == expected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("DECLARE v STRING;\nEXECUTE IMMEDIATE 'SELECT 1' INTO v;\nEXECUTE IMMEDIATE v;",
         r"sp_own\.sql:5:1: 'v' \(it comes from a query at line 4\) is not known"),
        ("DECLARE v STRING DEFAULT (SELECT 'SELECT 1');\nEXECUTE IMMEDIATE v;", r":4:1: 'v' \(line 3: the result of"),
        ("DECLARE v STRING DEFAULT 'SELECT 1';\nWHILE TRUE DO\nEXECUTE IMMEDIATE v;\nSET v = 'SELECT 2';\nEND WHILE;",
         r":5:1: 'v' \(it may change in the loop at line 4\)"),
        ("DECLARE v STRING DEFAULT 'SELECT 1';\nIF (SELECT TRUE) THEN SET v = 'x'; END IF;\nEXECUTE IMMEDIATE v;",
         r":5:1: 'v' \(it depends on the IF at line 4\)"),
        ("DECLARE v STRING DEFAULT 'SELECT 1';\nBEGIN SET v = 'SELECT 2'; SELECT 1 / 0;\n"
         "EXCEPTION WHEN ERROR THEN EXECUTE IMMEDIATE v; END;", r":5:27: 'v' \(it may change before the error in"),
        ("DECLARE v STRING DEFAULT 'SELECT 1';\nb: BEGIN IF (SELECT TRUE) THEN LEAVE b; END IF; SET v = 'x'; END b;"
         "\nEXECUTE IMMEDIATE v;", r":5:1: 'v' \(it may change in the block at line 4\)"),
        ("FOR r IN (SELECT 'x' AS t) DO\nEXECUTE IMMEDIATE CONCAT('SELECT ', r.t);\nEND FOR;", r":4:1: r\.t is not"),
        ("EXECUTE IMMEDIATE FORMAT('SELECT %f', p_n);", r"FORMAT with the element '%f'"),
        ("EXECUTE IMMEDIATE FORMAT('SELECT %s', p_n);", r"FORMAT with %s for 7"),
        ("EXECUTE IMMEDIATE SESSION_USER();", r"is not known before the call"),
        ("DECLARE v STRING;\nCALL o.sp_other(p_dataset, v);\nEXECUTE IMMEDIATE v;", r"'v' \(it comes from a CALL"),
    ],
)  # fmt: skip
def test_what_depends_on_data_is_refused_with_its_place_and_name(body: str, reason: str) -> None:
    with pytest.raises(Denied, match=reason):
        folded(body, {"sp_other": "SET p_answer = 'SELECT 1';"})


def test_each_call_is_folded_for_its_own_arguments() -> None:
    body = "DECLARE v STRING;\nCALL o.sp_other('a', v);\nCALL o.sp_other(p_dataset, v);"
    first, second = folded(body, {"sp_other": "EXECUTE IMMEDIATE 'SELECT 1 FROM ' || p_table;"}).calls.values()
    assert [*first.texts.values(), *second.texts.values()] == ["SELECT 1 FROM a", "SELECT 1 FROM acme_prod"]
    with pytest.raises(Denied, match=r"sp_other\.sql:3:1: 'p_table' \(line 5: 'v' \(it comes from a CALL at line 4"):
        folded(body.replace("p_dataset", "v"), {"sp_other": "EXECUTE IMMEDIATE 'SELECT 1 FROM ' || p_table;"})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("DECLARE p_n INT64;", "'p_n' is declared already"),
        ("DECLARE v INT64; BEGIN DECLARE V INT64; END;", "'V' is declared already"),
        ("DECLARE convergence_own INT64;", "names that begin with 'convergence_' are reserved"),
        ("SET convergence_refused = NULL;", "No variable is called 'convergence_refused'"),
        ("EXECUTE IMMEDIATE 'SELECT 1' INTO convergence_own;", "No variable is called"),
        ("EXECUTE IMMEDIATE 'BEGIN TRANSACTION';", "runs one SQL statement"),
        ("EXECUTE IMMEDIATE 'SELECT 1; SELECT 2';", "runs one SQL statement"),
    ],
)
def test_what_bigquery_refuses_anywhere_is_refused_with_its_place(body: str, message: str) -> None:
    with pytest.raises(StepFailed, match=rf"sp_own\.sql:3:\d+: .*{message}"):
        folded(body)


SHIPPED: Final = {routine.name: routine for routine in load_procedures(CONFIGS)}
GIVEN: Final = {
    "p_org_slug": Parameter("STRING", "acme"),
    "p_pipeline_id": Parameter("STRING", "acme-p"),
    "p_credential_id": Parameter("STRING", "c1"),
    "p_run_id": Parameter("STRING", "r1"),
    "p_start_date": Parameter("DATE", date(2026, 1, 1)),
    "p_end_date": Parameter("DATE", date(2026, 1, 31)),
    "p_provider": Parameter("STRING", "gemini"),
}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_shipped_procedure_passes_for_the_arguments_of_its_pipelines(name: str) -> None:
    def find(path: str) -> Procedure:
        routine = SHIPPED[path.rpartition(".")[2]]
        return parse_procedure(with_project(routine, "demo"), routine.source)

    procedure = find(name)
    call = fold_procedure(procedure, known_arguments(procedure, GIVEN), find, {"@@project_id": "demo"})
    reach = read_folded(call, SCOPE, project="demo")
    assert reach.parts
    assert {dataset for dataset, _ in reach.writes} <= {"acme_prod", ""}
    assert not reach.by_itself


def test_the_shipped_procedures_are_found() -> None:
    assert len(SHIPPED) >= 12
