"""Older files in the current form: the same pipeline, with its comments."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.config.catalog import Catalog
from convergence.config.dialects.current_form import current_text, migrated_text
from convergence.config.loader import parse_pipeline
from convergence.config.yaml.comments import comments_of
from tests.unit.config.builders import VALID

SHIPPED = Path(__file__).parents[3] / "configs"
FILES = [(root, name) for root in (VALID, SHIPPED) for name in Catalog(root).names()]


@pytest.mark.parametrize(("root", "name"), FILES, ids=[name for _, name in FILES])
def test_the_current_form_of_every_file_means_the_same(root: Path, name: str) -> None:
    loaded = Catalog(root).get(name)
    written = (root / loaded.file).read_text()
    migrated = migrated_text(loaded, written)
    again = parse_pipeline(migrated, name)
    assert again.pipeline == loaded.pipeline
    assert sorted(each.text for each in comments_of(migrated)) == sorted(each.text for each in comments_of(written))
    assert migrated_text(again, migrated) == migrated, "a file in the current form stays as it is"


OLDER = """\
# Head of the file.

pipeline_id: older
steps:
  # What it does.
  - id: load  # its name
    type: bq_execute
    retry_policy: {max_retries: 2}  # twice more
    target:
      # where to
      table: t
      mode: WRITE_APPEND
    config:
      sql: |
        SELECT 1 -- # no comment
        # nor this
      params: {note: "a # b"}
# The end.
"""
CURRENT = """\
# Head of the file.
pipeline_id: older
provider: tests
steps:
  # What it does.
  # its name
  - step_id: load
    ps_type: generic.bq_execute
    # twice more
    retry:
      max_attempts: 3
    config:
      sql: |
        SELECT 1 -- # no comment
        # nor this
      params:
        note: 'a # b'
    destination:
      # where to
      table: t
      write_mode: append
# The end.
"""


def test_comments_stand_above_the_key_that_they_stood_above_or_beside() -> None:
    assert migrated_text(parse_pipeline(OLDER, "tests/one"), OLDER) == CURRENT


def test_a_provider_has_todays_name_in_the_older_block_too() -> None:
    written = "pipeline: {provider: CLAUDE, domain: usage, version: 1.10}\nsteps: [{id: a, type: generic.noop}]\n"
    loaded = parse_pipeline(written, "older/one")
    assert (loaded.pipeline.provider, loaded.pipeline.version) == ("anthropic", "1.10")
    assert "provider: anthropic" in migrated_text(loaded, written)


def test_the_current_form_has_no_older_words() -> None:
    text = current_text(parse_pipeline(OLDER, "tests/one"))
    assert not any(word in text for word in ("retry_policy", "target", "mode: append\n    ", "id: load\n    type"))
