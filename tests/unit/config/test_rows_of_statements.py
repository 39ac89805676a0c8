"""Where the rows of a step's statement go is judged with the file."""

from __future__ import annotations

import pytest

from convergence.config.checks.kept_rows import check_rows
from convergence.config.sql.kinds import asserts, kind_of_statement
from tests.unit.config.builders import a_pipeline

KEPT_NOWHERE = "tests/one.yml:5:14: steps[0].config.query: the rows of this query are not stored: set"
LOADS_NOTHING = "tests/one.yml:6:5: steps[0].destination: the statement changes tables itself"


def found(query: str, more: str = "", after: str = "") -> tuple[list[str], list[str]]:
    step = f'  - step_id: look\n    ps_type: generic.bq_execute\n    config: {{query: "{query}"{more}}}\n{after}'
    mistakes, warnings = check_rows(a_pipeline(f"steps:\n{step}"))
    return [str(each) for each in mistakes], [str(each) for each in warnings]


@pytest.mark.parametrize("query", ["SELECT 1 AS a", "(SELECT 1)", "-- all\\nWITH x AS (SELECT 1) SELECT * FROM x"])
def test_a_query_without_a_destination_is_a_warning(query: str) -> None:
    mistakes, warnings = found(query)
    assert mistakes == []
    assert [each.startswith(KEPT_NOWHERE) for each in warnings] == [True], warnings


@pytest.mark.parametrize("verb", ["INSERT INTO t SELECT 1", "update t SET a = 1 WHERE b", "DELETE FROM t WHERE TRUE"])
def test_a_change_with_a_destination_is_a_mistake(verb: str) -> None:
    mistakes, warnings = found(verb, after="    destination: {table: t}\n")
    assert [each.startswith(LOADS_NOTHING) for each in mistakes] == [True], mistakes
    assert warnings == []


def test_a_transformer_does_not_change_tables() -> None:
    step = "step_id: a, ps_type: generic.local_bq_transformer, config: {sql: DELETE FROM t WHERE TRUE}"
    (mistake,), _ = check_rows(a_pipeline(f"steps: [{{{step}, destination: {{table: t}}}}]"))
    assert "steps[0].destination: the statement changes tables itself" in str(mistake)
    assert "write a SELECT, or run it by generic.bq_execute" in str(mistake)


@pytest.mark.parametrize(
    ("query", "more", "after"),
    [
        ("SELECT 1 AS a", "", "    destination: {table: t}\n"),
        ("INSERT INTO t SELECT 1", "", ""),
        ("SELECT IF(TRUE, 1, ERROR ('x'))", "", ""),
        ("ASSERT TRUE", "", ""),
        ("BEGIN SELECT 1; END", "", ""),
        ("SELECT 1 AS a", ", dry_run: true", ""),
        ("SELECT 1 AS a", "", "    enabled: false\n"),
        (
            "SELECT 1 AS a",
            "",
            "  - {step_id: b, ps_type: generic.noop, depends_on: [look], when: results.look.rows_returned > 0}\n",
        ),
        (
            "SELECT 1 AS a",
            "",
            "  - {step_id: b, ps_type: generic.noop, depends_on: [look], config: {n: '{results.look.status}'}}\n",
        ),
    ],
)
def test_what_has_its_use_is_right(query: str, more: str, after: str) -> None:
    assert found(query, more, after) == ([], [])


def test_words_in_texts_and_comments_do_not_count() -> None:
    assert kind_of_statement("/* INSERT */ SELECT 'DELETE'") == "query"
    assert not asserts("SELECT 'ERROR(' AS error -- ASSERT")
