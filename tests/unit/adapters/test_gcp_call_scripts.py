"""The script that BigQuery gets for a call: nothing in it that was not checked, and our statements in their places."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import pytest

from convergence.adapters.gcp.warehouse.call_script import CallScript, compose_call
from convergence.adapters.gcp.warehouse.ledger import Ledger
from convergence.adapters.googlesql.procedures.constants import evaluate
from convergence.adapters.googlesql.procedures.fold import fold_procedure, known_arguments
from convergence.adapters.googlesql.procedures.folded import Folded
from convergence.adapters.googlesql.procedures.parser import parse_procedure
from convergence.adapters.googlesql.procedures.reach import read_folded
from convergence.adapters.googlesql.scripts import nodes
from convergence.adapters.googlesql.scripts.parser import parse_script
from convergence.adapters.googlesql.scripts.walk import bodies_of
from convergence.errors import StepFailed
from convergence.ports.warehouse import Parameter, Scope
from tests.contract.warehouse.procedure_cases import CASES, FOLDER, KINDS, Case
from tests.contract.warehouse.world import a_lineage

SCOPE: Final = Scope(dataset="acme_prod", writable=True, lineage=a_lineage())
TABLES: Final = [("acme_prod", "cost_daily"), ("acme_prod", "run_log")]


def a_ledger() -> Ledger:
    jobs: Any = SimpleNamespace(client=SimpleNamespace(project="demo"))
    nothing: Any = None
    return Ledger(jobs, nothing, nothing)


def parsed(name: str) -> nodes.Procedure:
    return parse_procedure((FOLDER / f"{name}.sql").read_text().replace("{project_id}", "demo"), f"{name}.sql")


def composed(procedure: nodes.Procedure, arguments: dict[str, Any]) -> tuple[Folded, CallScript]:
    given = {
        name: Parameter(KINDS[type(value)], "demo" if value == "PROJECT" else value)
        for name, value in arguments.items()
    }
    known = known_arguments(procedure, given)
    folded = fold_procedure(procedure, known, lambda path: parsed(path.rpartition(".")[2]), {"@@project_id": "demo"})
    reach = read_folded(folded, SCOPE, project="demo")
    written = [table for table in TABLES if table in reach.writes]
    return folded, compose_call(folded, reach, SCOPE, written, a_ledger(), project="demo")


def all_of(body: Any) -> list[nodes.Node]:
    return [each for node in body for each in (node, *(each for inner in bodies_of(node) for each in all_of(inner)))]


def texts_of(folded: Folded) -> list[str | None]:
    return [*folded.texts.values(), *(text for call in folded.calls.values() for text in texts_of(call))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.procedure)
def test_dynamic_sql_is_sent_as_the_literal_that_was_checked(case: Case) -> None:
    folded, script = composed(parsed(case.procedure), case.arguments)
    sent = all_of(parse_script(script.sql))
    literals = [str(evaluate(node.sql, {})).strip() for node in sent if isinstance(node, nodes.Execute)]
    assert set(literals) == set(texts_of(folded))
    assert not [node for node in sent if isinstance(node, nodes.Call)]
    assert not [node for node in sent if isinstance(node, nodes.Jump) and node.label is None]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.procedure)
def test_each_commit_has_lineage_and_the_ledger_in_front_of_it(case: Case) -> None:
    _, script = composed(parsed(case.procedure), case.arguments)
    statements = [node for node in all_of(parse_script(script.sql)) if not isinstance(node, nodes.Block)]
    commits = [
        n for n, node in enumerate(statements) if isinstance(node, nodes.Transaction) and node.action == "COMMIT"
    ]
    assert bool(commits) is not script.reads
    for number in commits:
        before = [node.at.sql for node in statements[max(0, number - 25) : number]]
        assert any("convergence_ledger._convergence_loads_acme_prod" in sql for sql in before)
        for _, table in TABLES:
            written = ("acme_prod", table) in script.reach.writes
            assert (
                written is any(f"UPDATE `demo.acme_prod.{table}` SET x_run_id" in sql for sql in before) or not written
            )


def test_a_procedure_without_transactions_is_one_and_one_with_its_own_gets_none() -> None:
    _, plain = composed(parsed("sp_text_in_variable"), {"p_dataset_id": "acme_prod", "p_note": "x"})
    assert plain.sql.count("BEGIN TRANSACTION") == plain.sql.count("COMMIT TRANSACTION") == 1
    _, own = composed(parsed("sp_commit_in_handler"), {})
    assert own.sql.count("BEGIN TRANSACTION") == 1
    assert own.sql.count("COMMIT TRANSACTION") == 2  # both are the author's


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("BEGIN TRANSACTION; CREATE TABLE t (a INT64); COMMIT TRANSACTION;", "DDL on temporary tables only"),
        ("DECLARE n INT64; BEGIN TRANSACTION; EXECUTE IMMEDIATE 'SELECT @@row_count' INTO n; COMMIT TRANSACTION;",
         "read @@row_count into a variable"),
        ("DECLARE v_rows STRING; DECLARE n INT64; DECLARE f BOOL; CALL o.sp_inner_total('acme_prod', 'a', n, f);",
         "'v_rows' is a variable here and in sp_inner_total, and the types differ"),
        (f"DECLARE v STRING DEFAULT '{'x' * 300_000}';" + "EXECUTE IMMEDIATE FORMAT('SELECT \"%s%s\"', v, v);" * 2,
         "the limit is 1,048,576"),
    ],
    ids=["ddl", "row_count", "types", "length"],
)  # fmt: skip
def test_what_cannot_be_composed_is_refused(body: str, message: str) -> None:
    text = f"CREATE PROCEDURE o.sp_own()\nBEGIN\n{body}\nEND;"
    with pytest.raises(StepFailed, match=message):
        composed(parse_procedure(text, "sp_own.sql"), {})
