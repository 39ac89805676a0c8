"""The answer to a caller's SELECT over the org's dataset, as JSON that keeps types, and back from it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from typing_extensions import TypedDict  # pydantic reads them on Python 3.11 only from there

from convergence.domain.times import to_text
from convergence.engine.services import Services, dataset_of
from convergence.errors import Denied, InvalidInput, StepFailed
from convergence.ports.warehouse import QueryResult, Scope, Statement

SQL_MAX: Final = 100_000  # characters
ROWS_MAX: Final = 10_000
TIMEOUT_MAX_S: Final = 60.0
_READ_BYTES_MAX: Final = 20_000_000_000
_TYPES: Final[Mapping[type, str]] = {
    bool: "BOOL",
    int: "INT64",
    float: "FLOAT64",
    Decimal: "NUMERIC",
    datetime: "TIMESTAMP",
    date: "DATE",
    bytes: "BYTES",
    list: "ARRAY",
    dict: "STRUCT",
}
_BACK: Final[Mapping[str, Callable[[Any], Any]]] = {
    "NUMERIC": Decimal,
    "TIMESTAMP": datetime.fromisoformat,
    "DATE": date.fromisoformat,
    "BYTES": base64.b64decode,
}


class QueryAnswer(TypedDict):
    """Rows of a SELECT. NUMERIC and BIGNUMERIC are text with all their digits, bytes are base64.

    `types` by column, STRING where a column has no value; `truncated`: there may be more rows than `limit`.
    """

    columns: list[str]
    types: dict[str, str]
    rows: list[dict[str, Any]]
    truncated: bool


async def query(services: Services, org: str, sql: str, *, limit: int, timeout_s: float) -> QueryAnswer:
    """Return the rows of one SELECT over the dataset of `org`, at most `limit`; what it reads is bounded in bytes.

    Raises:
        InvalidInput: the statement is wrong, reads another dataset, writes, or takes too long.
    """
    statement = Statement(
        sql,
        scope=Scope(dataset=dataset_of(services, org)),
        rows_max=limit,
        bytes_max=_READ_BYTES_MAX,
        timeout_s=timeout_s,
    )
    try:
        result = await services.warehouse.query(statement)
    except (StepFailed, Denied) as error:  # here the statement is what the caller gave
        raise InvalidInput(str(error)) from error
    return {
        "columns": list(result.columns),
        "types": {name: _type_of(result, name) for name in result.columns},
        "rows": [{name: _plain(row[name]) for name in result.columns} for row in result.rows],
        "truncated": len(result.rows) == limit,
    }


def result_of(answer: QueryAnswer) -> QueryResult:
    """Return an answer as the warehouse gave it."""
    backs = {name: _BACK[kind] for name, kind in answer["types"].items() if kind in _BACK}
    rows = [
        {name: backs[name](value) if name in backs and value is not None else value for name, value in row.items()}
        for row in answer["rows"]
    ]
    return QueryResult(columns=tuple(answer["columns"]), rows=rows)


def _type_of(result: QueryResult, name: str) -> str:
    value = next((row[name] for row in result.rows if row[name] is not None), None)
    return _TYPES.get(type(value), "STRING")


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return f"{value:f}"
        case datetime():
            return to_text(value) if value.tzinfo is not None else value.isoformat()
        case date():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case list() | tuple():
            return [_plain(each) for each in value]
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case None | bool() | int() | float() | str():
            return value
    return str(value)
