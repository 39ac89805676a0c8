"""docs/compatibility.md names every older form that the tables of the code accept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from convergence.config.dialects.config_keys import MOVED
from convergence.config.dialects.parameters import SPEC_KEYS, TYPES
from convergence.config.dialects.pipelines import PIPELINE_KEYS
from convergence.config.dialects.steps import RETRY_KEYS, STEP_KEYS
from convergence.config.files.older_providers import OLDER
from convergence.config.processors import ps_types

PAGE = (Path(__file__).parents[3] / "docs" / "compatibility.md").read_text()
RENAMED = [
    key
    for table in (PIPELINE_KEYS, STEP_KEYS, RETRY_KEYS, SPEC_KEYS, TYPES, ps_types.SPELLINGS, OLDER)
    for key, current in table.items()
    if key != current
]


@pytest.mark.parametrize("word", [*RENAMED, *(key for keys in MOVED.values() for key in keys)])
def test_an_older_word_is_on_the_page(word: str) -> None:
    assert re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", PAGE) or f".{word}`" in PAGE


@pytest.mark.parametrize("name", sorted(ps_types.CLASSES))
def test_an_older_class_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE.lower()


@pytest.mark.parametrize("name", sorted({*ps_types.SPELLINGS.values(), *ps_types.CLASSES.values()}))
def test_what_it_is_called_today_is_on_the_page_too(name: str) -> None:
    assert f"`{name}`" in PAGE
