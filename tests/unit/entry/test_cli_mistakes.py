"""The mistakes that authors make most: `validate` answers each with file, line, cause and cure."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final, NamedTuple

import pytest

import convergence.processors
from convergence.config.processors import ps_types
from tests.pipelines.messages import check_message
from tests.unit.entry.conftest import Cli

FILES: Final = Path(__file__).parents[2] / "pipelines"
NO_TEMPLATE: Final = ("looks like a template but is not one", "a template is a name in braces")
IN_CLEAR: Final = ("looks like a credential in plain text", "store it (convergence integration setup)")


class Mistake(NamedTuple):
    """Where a file of the corpus has it, and what is said: refused in `invalid`, warned of in `doubtful`."""

    file: str
    written: str  # in the line that is named
    cause: str
    cure: str


MISTAKES: dict[str, Mistake] = {
    "a filter": Mistake("doubtful/filter", "{{ date | upper }}", *NO_TEMPLATE),
    "a block": Mistake("doubtful/block", "{% if", *NO_TEMPLATE),
    "an open brace": Mistake("doubtful/unclosed", "{date/x", *NO_TEMPLATE),
    "a call": Mistake("doubtful/env_var", "{{ env_var('", *NO_TEMPLATE),
    "a template without quotes": Mistake(
        "invalid/unquoted_template", "day: {date}", "YAML reads it as a mapping", 'must be in quotes: "{date}"'
    ),
    "NO": Mistake("doubtful/country", "country: NO", "YAML reads NO as false", '"NO" if it is text'),
    "a star": Mistake("invalid/star", ": */15", "this is not YAML", "begins with * or & must be in quotes"),
    "a brace first": Mistake("invalid/brace", ": {date}/usage", "this is not YAML", "begins with { must be in quotes"),
    "two colons": Mistake("invalid/colon", "name: usage: daily", "this is not YAML", '": " must be in quotes'),
    "one =": Mistake("doubtful/single_equals", "mode = 'fast'", "= is read as ==", "write =="),
    "&&": Mistake("invalid/double_and", "&& true", "nothing here begins with '&'", "write `and`"),
    "the environment": Mistake(
        "doubtful/home",
        "${HOME}",
        "names a parameter; environment variables are not read",
        "declare the parameter HOME",
    ),
    "a key in the headers": Mistake("doubtful/credential_in_headers", "Authorization: ", *IN_CLEAR),
    "a key in the body": Mistake("doubtful/credential_in_body", "api_key: ", *IN_CLEAR),
    "a time": Mistake("invalid/unquoted_time", "time: 02:00", "a number in base 60", 'must be in quotes ("02:00")'),
}
ANCHORS = """x-defaults: &defaults
  said: hello
pipeline_id: "{org_slug}-shop-anchors"
provider: shop
steps:
  - {step_id: run_hello, ps_type: generic.noop, config: *defaults}
"""
BLOCKING = """pipeline_id: "{org_slug}-shop-blocking"
provider: shop
steps:
  - step_id: run_hello
    ps_type: blocks_the_loop
"""
MODULE = """
class Blocks:
    def execute(self, step_config, context):
        return {"status": "SUCCESS"}


def get_engine():
    return Blocks()
"""


@pytest.mark.parametrize("name", list(MISTAKES))
def test_each_mistake_has_file_line_cause_and_cure(cli: Cli, configs: Path, name: str) -> None:
    mistake = MISTAKES[name]
    source = FILES / f"{mistake.file}.yml"
    shutil.copy(source, configs / "shop" / "slip.yml")
    answer = cli("validate", "shop/slip")
    assert answer.code == (2 if mistake.file.startswith("invalid/") else 0)
    said = [line.strip().removeprefix("warning: ") for line in answer.err.splitlines()]
    message = next(line for line in said if mistake.cause in line and mistake.cure in line)
    check_message(message.removeprefix("configs/shop/"), "slip.yml")
    place = re.match(r"configs/shop/slip\.yml:(\d+)", message)
    assert place is not None
    assert mistake.written in source.read_text().splitlines()[int(place[1]) - 1]


def test_anchors_have_a_place_at_the_top(cli: Cli, configs: Path) -> None:
    (configs / "shop" / "anchors.yml").write_text(ANCHORS)
    assert (cli("validate", "shop/anchors").code, cli("validate", "shop/anchors").err) == (0, "")
    (configs / "shop" / "anchors.yml").write_text(ANCHORS.replace("x-defaults", "defaults"))
    refused = cli("validate", "shop/anchors")
    assert (refused.code, "shop/anchors.yml:1:1: defaults: a pipeline has no 'defaults'" in refused.err) == (2, True)


def test_a_processor_that_is_not_async_is_warned_of(
    cli: Cli, configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "processors"
    folder.mkdir()
    (folder / "blocks_the_loop.py").write_text(MODULE)
    monkeypatch.setattr(ps_types, "FOLDER", folder)
    monkeypatch.setattr("convergence.processors.__path__", [*convergence.processors.__path__, str(folder)])
    (configs / "shop" / "blocking.yml").write_text(BLOCKING)
    answer = cli("validate", "shop/blocking")
    cause = "its `execute` is not async, so the step will fail: write `async def execute`"
    assert (answer.code, f"shop/blocking.yml:5:5: steps[0].ps_type: {cause}" in answer.err) == (0, True), answer.err


@pytest.mark.parametrize(
    ("days", "cause"),
    [
        (("date=2999-01-01",), "2999-01-01 is in the future (today is "),
        (("start_date=1980-01-01", "end_date=2000-01-01"), "1980-01-01 to 2000-01-01 is more than ten years"),
    ],
)
def test_days_that_are_probably_a_slip_have_cause_and_cure(acme: Cli, days: tuple[str, ...], cause: str) -> None:
    answer = acme("run", "acme", "example/hello", *(word for day in days for word in ("-p", day)))
    assert (answer.code, cause in answer.err, "confirm it with --force" in answer.err) == (2, True, True)
