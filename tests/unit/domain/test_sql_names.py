"""Names that can stand in SQL."""

from __future__ import annotations

import pytest

from convergence.domain.sql_names import bigquery_name, checked
from convergence.errors import InvalidInput


@pytest.mark.parametrize("name", ["a", "_", "Cost_2026", "x" * 300])
def test_letters_digits_and_underscores_make_a_name(name: str) -> None:
    assert checked(name) == name


@pytest.mark.parametrize("name", ["", "2026", "a b", "a-b", "a.b", 'a"b', "a`b", "ä", "a\n"])
def test_anything_else_is_refused_and_named(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(name)
    assert str(refused.value).startswith(f"{name!r} cannot be a name: ")
    with pytest.raises(InvalidInput, match="cannot be a column: "):
        checked(name, "column")


def test_a_name_in_bigquery_is_quoted_as_a_whole() -> None:
    assert bigquery_name("my-project", "acme_prod", "cost data") == "`my-project.acme_prod.cost data`"


@pytest.mark.parametrize("part", ["a`b", "a\\b", "a\nb", "a\x7f"])
def test_what_could_end_the_quotes_is_refused(part: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        bigquery_name("project", part)
    assert str(refused.value).startswith(f"{part!r} cannot be a name in BigQuery")
