"""Each `invalid/NAME.yml` gives exactly the message in `invalid/NAME.txt`.

To see the messages of a new file: run the test, it shows what came out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.config.loader import parse_pipeline
from convergence.errors import ConfigErrors

FOLDER = Path(__file__).parent / "invalid"
NAMES = sorted(file.stem for file in FOLDER.glob("*.yml"))


@pytest.mark.parametrize("name", NAMES)
def test_each_mistake_gives_its_message(name: str) -> None:
    expected = (FOLDER / f"{name}.txt").read_text()
    with pytest.raises(ConfigErrors) as caught:
        parse_pipeline((FOLDER / f"{name}.yml").read_bytes(), f"invalid/{name}", file=f"{name}.yml")
    assert str(caught.value) + "\n" == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_line_of_a_message_begins_with_the_file(name: str) -> None:
    lines = (FOLDER / f"{name}.txt").read_text().splitlines()
    assert lines
    assert all(line.startswith(f"{name}.yml:") for line in lines)


def test_the_corpus_has_no_message_without_a_file() -> None:
    assert sorted(file.stem for file in FOLDER.glob("*.txt")) == NAMES
