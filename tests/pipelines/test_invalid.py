"""Each `invalid/NAME.yml` gives exactly the message in `invalid/NAME.txt`.

To see the messages of a new file: run the test, it shows what came out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.config.loader import parse_pipeline
from convergence.errors import ConfigErrors
from tests.pipelines.messages import check_message

FOLDER = Path(__file__).parent / "invalid"
NAMES = sorted(file.stem for file in FOLDER.glob("*.yml"))


@pytest.mark.parametrize("name", NAMES)
def test_each_mistake_gives_its_message(name: str) -> None:
    expected = (FOLDER / f"{name}.txt").read_text()
    with pytest.raises(ConfigErrors) as caught:
        parse_pipeline((FOLDER / f"{name}.yml").read_bytes(), f"invalid/{name}", file=f"{name}.yml")
    assert str(caught.value) + "\n" == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_mistake_says_where_and_what_to_do(name: str) -> None:
    lines = (FOLDER / f"{name}.txt").read_text().splitlines()
    assert lines
    for line in lines:
        check_message(line, f"{name}.yml")


def test_the_corpus_has_no_message_without_a_file() -> None:
    assert sorted(file.stem for file in FOLDER.glob("*.txt")) == NAMES
