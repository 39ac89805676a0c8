"""Each `doubtful/NAME.yml` loads, with exactly the warnings in `doubtful/NAME.txt`.

To see the warnings of a new file: run the test, it shows what came out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.config.loader import parse_pipeline
from tests.pipelines.messages import check_message

FOLDER = Path(__file__).parent / "doubtful"
NAMES = sorted(file.stem for file in FOLDER.glob("*.yml"))


@pytest.mark.parametrize("name", NAMES)
def test_each_slip_gives_its_warning(name: str) -> None:
    loaded = parse_pipeline((FOLDER / f"{name}.yml").read_bytes(), f"doubtful/{name}", file=f"{name}.yml")
    assert "".join(f"{warning}\n" for warning in loaded.warnings) == (FOLDER / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_warning_says_where_and_what_to_do(name: str) -> None:
    lines = (FOLDER / f"{name}.txt").read_text().splitlines()
    assert lines
    for line in lines:
        check_message(line, f"{name}.yml")


def test_the_corpus_has_no_warning_without_a_file() -> None:
    assert sorted(file.stem for file in FOLDER.glob("*.txt")) == NAMES
