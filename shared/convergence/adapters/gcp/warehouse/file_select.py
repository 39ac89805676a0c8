"""What is read of a file that BigQuery has loaded, as SQL: texts, their values, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from convergence.adapters.gcp.warehouse.file_values import in_record, json_of, quoted, text_of, value_of
from convergence.adapters.googlesql.types import SqlType, column_type
from convergence.adapters.row_files import (
    Fed,
    by_name,
    feed,
    is_pointer,
    other_name,
    staged_by,
    steps_of,
    wanted_pointers,
)
from convergence.domain.sql_names import bigquery_name
from convergence.ports.column_values import type_name
from convergence.ports.warehouse import Column, FileFormat, RowFile, TableSchema

LINE: Final = "line"


@dataclass(frozen=True, slots=True)
class FileSelect:
    """What is read of one file: `texts` and `values` are SQL, one for each column of the table that it feeds."""

    file: RowFile
    fed: Fed
    all_texts: tuple[str, ...]  # of the file's columns
    columns: tuple[Column, ...]
    texts: tuple[str, ...]
    values: tuple[str, ...]
    others: str
    whole: str
    digest: str
    constants: Mapping[str, str]
    homeless: tuple[str, ...]  # SQL that computes for each column of `RowFile.homeless` whether it has a value

    def tests(self) -> list[str]:
        """Return the SQL that computes for each column whether its value does not fit, then those of `homeless`."""
        found = []
        for column, text, value in zip(self.columns, self.texts, self.values, strict=True):
            wrong = f"({text} IS NOT NULL AND {value} IS NULL)"
            found.append(f"({text} IS NULL OR {wrong})" if column.mode == "REQUIRED" else wrong)
        return [*found, *self.homeless]

    def inside(self) -> str:
        """Return the SQL that decides whether a row is taken: its days are among those of the file, or it has none."""
        found = [f"TRIM(IFNULL({LINE}, '')) <> ''" if is_lines(self.file) else "TRUE"]
        for column, value in zip(self.columns, self.values, strict=True):
            if self.file.outside == "skip" and column.name in self.file.between:
                first, last = self.file.between[column.name]
                found.append(f"({value} IS NULL OR DATE({value}) BETWEEN DATE '{first}' AND DATE '{last}')")
        return " AND ".join(found)


def select_file(
    file: RowFile, table: TableSchema, names: tuple[str, ...], typed: Sequence[tuple[str, SqlType]]
) -> FileSelect:
    """Return what is read of a file whose columns are `names`, with the SQL and type of each. Raises as `feed`."""
    sources, kinds = [source for source, _ in typed], [kind for _, kind in typed]
    fed = feed(file, table, names)
    columns = tuple(column for column in staged_by(table) if column.name in fed.sources)
    every = tuple(text_of(source, kind, file) for source, kind in zip(sources, kinds, strict=True))
    texts = tuple(_text_for(column, fed.sources[column.name], every, typed, file) for column in columns)
    values = tuple(
        sources[fed.sources[column.name]] if type_name(column) == "STRUCT" else value_of(column, text, file)
        for column, text in zip(columns, texts, strict=True)
    )
    others = [(quoted(orjson.dumps(other_name(names[place])).decode() + ":"), every[place]) for place in fed.rest]
    parts = ", ".join(f"IF({text} IS NULL, NULL, CONCAT({name}, TO_JSON_STRING({text})))" for name, text in others)
    joined = (
        f"NULLIF(CONCAT('{{', ARRAY_TO_STRING([{parts}], ','), '}}'), '{{}}')" if others else "CAST(NULL AS STRING)"
    )
    constants = {
        column.name: f"CAST({quoted(file.constants[column.name])} AS {column_type(column)})"
        for column in staged_by(table)
        if column.name in file.constants
    }
    whole = LINE if is_lines(file) else _whole(names, sources, kinds, file) if file.whole else ""
    digest = _digest(file, names, every) if file.digest else ""
    homeless = tuple(_has_value(*typed[names.index(name)]) for name in file.homeless)
    return FileSelect(file, fed, every, columns, texts, values, joined, whole, digest, constants, homeless)


def _has_value(source: str, kind: SqlType) -> str:
    """Return the SQL of whether a row has a value; a list without one is empty there."""
    if kind.name == "MAP":
        return f"(IFNULL({source}, '{{}}') <> '{{}}')"
    return f"(IFNULL(ARRAY_LENGTH({source}), 0) > 0)" if kind.name == "ARRAY" else f"({source} IS NOT NULL)"


def _text_for(
    column: Column, place: int, texts: Sequence[str], typed: Sequence[tuple[str, SqlType]], file: RowFile
) -> str:
    """Return the SQL of a value as the text that its column takes: JSON of what is not a text of JSON already."""
    source, kind = typed[place]
    is_value = type_name(column) == "JSON" and kind.name not in {"STRING", "JSON"}
    return json_of(source, kind, file) if is_value else texts[place]


def sources_of(file: RowFile, names: Sequence[str]) -> list[str]:
    """Return the SQL of the columns of a file whose values are texts."""
    if is_lines(file):
        return [in_record(LINE, steps_of(name) if is_pointer(file, name) else [name]) for name in names]
    return [f"c{place}" if file.format is FileFormat.CSV else bigquery_name(name) for place, name in enumerate(names)]


def _digest(file: RowFile, names: Sequence[str], texts: Sequence[str]) -> str:
    """Return the SQL of the row's digest: of all its texts, each after its column's name."""
    parts = ", ".join(f"CONCAT({quoted(names[place] + '=')}, {texts[place]})" for place in by_name(file, names))
    return f"SUBSTR(TO_HEX(MD5(ARRAY_TO_STRING([{parts}], CHR(31)))), 1, 16)"


def _whole(names: Sequence[str], sources: Sequence[str], kinds: Sequence[SqlType], file: RowFile) -> str:
    """Return the SQL of the row as the text of one JSON object."""
    parts = ", ".join(
        f"CONCAT({quoted(orjson.dumps(name).decode() + ':')}, IFNULL({json_of(source, kind, file)}, 'null'))"
        for name, source, kind in zip(names, sources, kinds, strict=True)
    )
    return f"CONCAT('{{', ARRAY_TO_STRING([{parts}], ','), '}}')"


def is_lines(file: RowFile) -> bool:
    """Return whether the file is loaded line by line, each line a record as sent: it is stored or parsed as a whole."""
    return file.format is FileFormat.NDJSON and (bool(file.whole) or bool(wanted_pointers(file)))
