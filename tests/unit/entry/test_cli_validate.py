"""`convergence validate` refuses or warns of what a run would refuse or do in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.entry.conftest import Cli
from tests.unit.entry.one_step import HEAD, step

PROCEDURE = """CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_shop_slip(day DATE)
BEGIN
  DECLARE n INT64 DEFAULT 0;
  SELCT n;
END;
"""


SQL = step(
    "generic.bq_execute",
    """
      sql: |
        SELECT id
        FORM `{project_id}.{org_dataset}.orders`
        WHERE day = '{date}'
""",
)
REFUSED = {
    "a processor of one's own that is not installed": (
        step("acme.orders", "{}"),
        "shop/slip.yml:5:5: steps[0].ps_type: no processor is called 'acme.orders'. If it is your own,",
        "pip install -e FOLDER",
    ),
    "a statement that does not parse": (SQL, "shop/slip.yml:9: steps[0].config.sql: line 2, column", "FROM instead of"),
    "a function that is not there": (
        step("generic.bq_execute", "{sql: SELECT SUMM(1) AS n}"),
        "shop/slip.yml:6:14: steps[0].config.sql: No function is called SUMM.",
        "'SUM'",
    ),
    "two statements": (step("generic.bq_execute", "{sql: SELECT 1; SELECT 2}"), "shop/slip.yml:6:14:", "One statement"),
    "a check's statement": (
        step("generic.dq_check", "{table: org_meta_dq_results, checks: [{type: custom_sql, sql: SELEC 1}]}"),
        "shop/slip.yml:6:70: steps[0].config.checks[0].sql: line 1",
        "SELECT instead of SELEC",
    ),
    "a table's name with a blank": (
        step("generic.local_bq_transformer", "{sql: SELECT 1 AS id}", '    destination: {table: "my orders"}\n'),
        "shop/slip.yml:7:19: steps[0].destination.table: 'my orders' cannot be a table: letters, digits and",
        "Rename it",
    ),
}
DOUBTFUL = {
    "a provider that is required": (
        f"{HEAD}integration_required: [opnai]\nsteps:\n  - {{step_id: run_slip, ps_type: generic.noop}}\n",
        "shop/slip.yml:3:24: integration_required[0]: no provider is called 'opnai'",
        "'openai'",
    ),
    "a provider whose credential is opened": (
        step(
            "generic.api_extractor",
            '{auth: {provider: antropic}, url: "https://api.shop.example/{date}"}',
            "    destination: {table: org_meta_dq_results}\n",
        ),
        "shop/slip.yml:6:21: steps[0].config.auth.provider: no provider is called 'antropic'",
        "'anthropic'",
    ),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_the_run_refuses_is_refused_with_line_cause_and_cure(cli: Cli, configs: Path, name: str) -> None:
    text, place, cure = REFUSED[name]
    (configs / "shop" / "slip.yml").write_text(text)
    answer = cli("validate", "shop/slip")
    assert answer.code == 2, answer.out
    assert place in answer.err
    assert cure in answer.err


@pytest.mark.parametrize("name", list(DOUBTFUL))
def test_what_cannot_be_set_up_is_warned_of(cli: Cli, configs: Path, name: str) -> None:
    text, place, cure = DOUBTFUL[name]
    (configs / "shop" / "slip.yml").write_text(text)
    answer = cli("validate", "shop/slip")
    assert answer.code == 0, answer.err
    assert place in answer.err
    assert cure in answer.err


def test_a_provider_of_the_folder_a_secret_and_an_older_name_are_no_slips(cli: Cli, configs: Path) -> None:
    (configs / "shop" / "slip.yml").write_text(
        f"{HEAD}integration_required: [OPENAI, shop]\nparameters:\n  token: {{type: secret, required: true}}\nsteps:\n"
        "  - step_id: load_slip\n    ps_type: generic.api_extractor\n"
        '    config: {auth: {provider: token}, url: "https://api.shop.example/{date}"}\n'
        "    destination: {table: org_meta_dq_results}\n"
    )
    answer = cli("validate", "shop/slip")
    assert (answer.code, answer.err) == (0, "")


def test_a_procedure_is_read_as_the_sync_reads_it(acme: Cli, configs: Path) -> None:
    file = configs / "system" / "procedures" / "shop" / "sp_shop_slip.sql"
    file.parent.mkdir()
    file.write_text(PROCEDURE)
    message = "system/procedures/shop/sp_shop_slip.sql:4:3: 'SELCT' does not begin a statement. Did you mean 'SELECT'?"
    assert message in acme("validate").err
    assert message in acme("procedures", "sync").err
    file.write_bytes(PROCEDURE.replace("SELCT", "SELECT").encode() + "-- \xe4".encode("latin-1"))
    assert "sp_shop_slip.sql:6: the file is not UTF-8: save it as UTF-8" in acme("validate", "system/procedures").err
    file.write_text(PROCEDURE.replace("SELCT", "SELECT"))
    assert acme("validate", "system/procedures").code == 0


def test_what_was_checked_is_counted_in_words(cli: Cli, configs: Path) -> None:
    assert cli("validate", "shop/load").out == "ok  1 pipeline\n"
    assert cli("validate", "shop/load", "shop/key").out == "ok  2 pipelines\n"
    assert "2 notifiers, " in (whole := cli("validate").out)
    assert "1 plans file, " in whole
