"""`convergence report`: the list, an answer, files for other tools, and what is refused."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from convergence.config.files.reports import Days, Report, load_reports
from convergence.errors import InvalidInput
from tests.unit.entry.conftest import CONFIGS, Cli


def test_without_a_name_the_questions_are_listed(acme: Cli) -> None:
    listed = acme("report", "acme", "--json").data["rows"]
    assert {row["name"] for row in listed} == set(load_reports(CONFIGS))
    assert len(listed) >= 12
    assert "forecast" in acme("report", "acme").out


def test_an_org_without_charges_gets_no_rows(acme: Cli) -> None:
    for name in load_reports(CONFIGS):
        answer = acme("report", "acme", name, "--json")
        assert (answer.code, answer.data["rows"]) == (0, []), name
    assert acme("report", "acme", "by_service", "--csv").out == (
        "month,provider,service,currency,billed,effective,charges\n"
    )


def test_unknown_names_get_the_nearest_and_one_form_is_chosen(acme: Cli) -> None:
    wrong = acme("report", "acme", "by_servce")
    assert (wrong.code, "there is no report 'by_servce'" in wrong.err, "by_service" in wrong.err) == (2, True, True)
    assert acme("report", "acmee", "by_service").code == 2
    both = acme("report", "acme", "by_service", "--csv", "--json")
    assert (both.code, "--csv and --json" in both.err) == (2, True)


def test_views_name_project_and_dataset_of_each_table(acme: Cli) -> None:
    one = acme("report", "acme", "by_model", "--views").out
    assert one.startswith("CREATE OR REPLACE VIEW `local-dev-project.acme_dev.report_by_model` AS\nSELECT")
    assert "FROM `local-dev-project.acme_dev.cost_data_standard_1_3`" in one
    assert one.endswith(";\n")
    every = acme("report", "acme", "--views").out
    assert every.count("CREATE OR REPLACE VIEW") == len(load_reports(CONFIGS))
    refused = acme("report", "ac`me", "by_model", "--views")
    assert (refused.code, "cannot be a name in BigQuery" in refused.err) == (2, True)


def test_days_are_named_as_in_every_command_and_must_make_sense(acme: Cli) -> None:
    assert acme("report", "acme", "by_service", "--from", "today-7", "--to", "YESTERDAY").code == 0
    for words, said in (
        (("by_service", "--from", "TODAY", "--to", "TODAY-1"), " is after --to "),
        (("by_service", "--from", "soon"), "Invalid value for '--from'"),
        (("--from", "TODAY"), "--from and --to go with the name of a report"),
        (("by_service", "--to", "TODAY", "--views"), "a view has all days"),
    ):
        refused = acme("report", "acme", *words)
        assert (refused.code, said in refused.err) == (2, True), refused.err


def test_the_days_of_a_recursive_report_cannot_be_chosen() -> None:
    report = Report("deep", "", "WITH RECURSIVE t AS (SELECT 1 AS n) SELECT * FROM t JOIN {dataset}.c ON TRUE")
    assert report.sql_of_days(Days(), lambda _: ()).startswith("WITH RECURSIVE")
    with pytest.raises(InvalidInput, match="'deep' begins WITH RECURSIVE"):
        report.sql_of_days(Days(date(2026, 11, 1)), lambda _: ())


def test_an_own_report_is_a_file_and_must_say_what_it_shows(cli: Cli, configs: Path) -> None:
    own = configs / "system/reports/large.sql"
    own.write_text("-- Large charges\nSELECT BilledCost FROM {dataset}.cost_data_standard_1_3 WHERE BilledCost > 9\n")
    assert cli("org", "create", "acme").code == 0
    assert cli("report", "acme", "large", "--csv").out == "BilledCost\n"
    own.write_text("SELECT 1 AS n\n")
    with pytest.raises(InvalidInput, match="the first line must be"):
        load_reports(configs)


def test_the_page_about_reports_lists_each() -> None:
    page = (CONFIGS.parent / "docs/bi.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == sorted(load_reports(CONFIGS))
