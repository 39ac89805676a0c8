"""A list that is too short is a mistake; one whose items are wrong has those mistakes only."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from convergence.config.model.errors import details_of, sentence


class Pair(BaseModel):
    numbers: Annotated[tuple[int, ...], Field(min_length=2)]


@pytest.mark.parametrize(
    ("numbers", "wrong"),
    [
        ([], [("numbers",)]),
        ([1], [("numbers",)]),
        ([1, "x"], [("numbers", 1)]),
        (["x", "y"], [("numbers", 0), ("numbers", 1)]),
        ([1, 2], []),
    ],
)
def test_a_list_that_is_too_short_is_reported_and_wrong_items_alone(numbers: Any, wrong: list[Any]) -> None:
    data = {"numbers": numbers}
    found = {}
    try:
        Pair.model_validate(data)
    except ValidationError as error:
        found = {path: sentence(detail, path) for path, detail in details_of(error, data)}
    assert list(found) == wrong
    assert found.get(("numbers",), "") in ("", "numbers must have at least 2 entries")
