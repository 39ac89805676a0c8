"""Records that an org maintains itself, such as its contracts: each one is checked, mistakes name place and field."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError, model_validator

from convergence.domain.model_errors import message_of
from convergence.errors import StepFailed
from convergence.processors.settings import Settings


class Record(Settings):
    """A record; an empty text, as in a CSV or an unused parameter, is not given."""

    @model_validator(mode="before")
    @classmethod
    def _given(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {name: value for name, value in values.items() if value is not None and value != ""}


R = TypeVar("R", bound=Record)


def record_of(model: type[R], values: Mapping[str, Any], where: str) -> R:
    """Return a checked record. Raises `StepFailed` that names place, field and reason."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'record'}: {message_of(each)}"
            for each in error.errors(include_url=False, include_input=False, include_context=False)
        )
        raise StepFailed(f"{where}: {wrong}") from None


def records_of_csv(model: type[R], text: str, name: str) -> list[R]:
    """Return the records of a CSV whose header names fields; `name` is the file's name in messages.

    Raises `StepFailed` that names the line.
    """
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        header = [cell.strip() for cell in next(lines, [])]
        if not header or len(set(header)) < len(header) or not set(header) <= set(model.model_fields):
            known = ", ".join(model.model_fields)
            raise StepFailed(f"{name}:1: the header must name each column once; known columns: {known}")
        found = []
        for cells in lines:
            where = f"{name}:{lines.line_num}"
            if not cells:
                continue
            if len(cells) != len(header):
                raise StepFailed(f"{where}: {len(cells)} fields, the header has {len(header)}")
            found.append(record_of(model, dict(zip(header, cells, strict=True)), where))
    except csv.Error as error:
        raise StepFailed(f"{name}:{lines.line_num}: {error}") from error
    return found
