"""Of 300 warnings of one kind people see one; what kept a notification from being sent is part of the run's summary."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.config.loader import parse_pipeline
from convergence.entry.cli.findings import one_of_each_kind
from tests.unit.entry.conftest import Cli

MANY = "steps:\n" + "".join(
    f'  - {{step_id: extract_{n}, ps_type: generic.noop, config: {{day: "{{{{ date | upper }}}}/{n}"}}}}\n'
    for n in range(300)
)
SECRET_HEADER = (
    '  - {step_id: extract_last, ps_type: generic.noop, config: {headers: {Authorization: "Bearer a1b2c3d4e5f6"}}}\n'
)
END_STEP = """
steps:
  - {{step_id: look, ps_type: generic.noop}}
  - {{step_id: mail_end, ps_type: {processor}, trigger: on_completion, {blocks}}}
"""


def test_of_each_kind_the_first_is_shown_with_the_places_of_the_others() -> None:
    texts = [f"a/b.yml:{n}:3: steps[{n}].config.x: 'x{n}' looks like a template but is not one" for n in range(1, 301)]
    shown = one_of_each_kind([texts[0], "shop/x.yml: something else", *texts[1:]])
    assert shown == [
        f"{texts[0]} (and 299 more of this kind: a/b.yml:2:3, a/b.yml:3:3, a/b.yml:4:3, a/b.yml:5:3, a/b.yml:6:3, …)",
        "shop/x.yml: something else",
    ]
    assert one_of_each_kind([]) == []
    assert one_of_each_kind(["load_a: 3 rows", "load_b: 7 rows"]) == ["load_a: 3 rows (and 1 more of this kind)"]
    assert len(one_of_each_kind(["a: one thing", "a: another thing"])) == 2


def test_validate_and_plan_show_one_warning_of_300(acme: Cli, configs: Path) -> None:
    (configs / "shop" / "many.yml").write_text(MANY + SECRET_HEADER)
    for words in (("validate", "shop/many"), ("plan", "acme", "shop/many")):
        warnings = [line for line in acme(*words).err.splitlines() if line.startswith("warning: ")]
        assert len(warnings) == 2, warnings
        assert "shop/many.yml:2:" in warnings[0]
        assert "and 299 more of this kind: configs/shop/many.yml:3:" in warnings[0]
        assert "looks like a credential" in warnings[1]
    assert len(acme("validate", "shop/many", "--json").data["warnings"]) == 301


def test_many_warnings_of_one_kind_leave_room_for_the_others() -> None:
    warnings = parse_pipeline(MANY + MANY.replace("extract", "load").removeprefix("steps:\n") + SECRET_HEADER, "a/b")
    assert len(warnings.warnings) == 301
    assert "credential" in str(warnings.warnings[-1])


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "no notification was sent: SMTP_HOST and DEFAULT_ADMIN_EMAIL are not set"),
        ({"DEFAULT_ADMIN_EMAIL": "ops@acme.example"}, "no notification was sent: SMTP_HOST is not set"),
        ({"SMTP_HOST": "127.0.0.1"}, "no notification was sent: DEFAULT_ADMIN_EMAIL is not set"),
    ],
)
def test_a_failed_run_says_why_no_default_notification_was_sent(
    acme: Cli, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name in ("SMTP_HOST", "DEFAULT_ADMIN_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    failed = acme("run", "acme", "shop/load")
    assert failed.code == 1
    assert f"  warning: {message}" in failed.out
    assert "convergence run acme slack/auth/setup" in failed.out, "what to do about the other channel"
    assert any(message in warning for warning in acme("status", "--json").data["warnings"])
    assert "notification" not in acme("run", "acme", "example/hello").out


@pytest.mark.parametrize(
    ("processor", "blocks", "message"),
    [
        (
            "notify_systems.email_notification",
            "config: {to_emails: [ops@acme.example], subject: x}",
            "mail_end: no notification was sent: notify_systems.email_notification: no mail server: set SMTP_HOST",
        ),
        (
            "openai.seed_csv",
            "source: {file: no.csv}, destination: {table: openai_subscription_plans}",
            "mail_end: failed: ",
        ),
    ],
)
def test_an_end_step_that_failed_is_in_the_summary_of_a_completed_run(
    acme: Cli, configs: Path, monkeypatch: pytest.MonkeyPatch, processor: str, blocks: str, message: str
) -> None:
    monkeypatch.delenv("SMTP_HOST", raising=False)
    (configs / "shop" / "ends.yml").write_text(END_STEP.format(processor=processor, blocks=blocks))
    ended = acme("run", "acme", "shop/ends")
    assert (ended.code, message in ended.out) == (0, True), ended.out + ended.err
