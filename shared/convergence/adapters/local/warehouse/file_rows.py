"""A file of rows as one typed chunk of a stage: DuckDB reads, checks and writes it in one statement.

Only when that fails are the rows that do not fit looked for, by number, so that they can be named or set aside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import orjson

from convergence.adapters.googlesql.types import column_type
from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.duckdb_sql.types import duckdb_type
from convergence.adapters.local.warehouse.errors import plain_message
from convergence.adapters.local.warehouse.exact_times import EXACT_TIME, exact_time
from convergence.adapters.local.warehouse.file_texts import as_json, as_text
from convergence.adapters.local.warehouse.file_values import (
    Value,
    inside_of,
    value_of,
)
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.named_sql import quoted, statement
from convergence.adapters.local.warehouse.session import GROUP_ROWS
from convergence.adapters.parquet.exact import is_made_plain, read_exactly, refuse_finer_inside
from convergence.adapters.parquet.footer import Footer
from convergence.adapters.row_files import (
    Fed,
    by_name,
    csv_header,
    feed,
    is_pointer,
    keep_digits,
    lines_of,
    other_name,
    pointers,
    problem_of,
    refuse,
    refuse_odd_json,
    staged_by,
    wanted_pointers,
)
from convergence.errors import SchemaMismatch
from convergence.ports.warehouse import BadRow, Column, FileFormat, RowFile, StagedFile, TableSchema
from convergence.ports.warehouse.files import COLUMNS_MAX, CONTENT_MAX, DAYS_MAX

_WHOLE: Final = "whole"  # the column of a source with the record as it came
_LINE: Final = re.compile(r"CSV Error on Line: (\d+)")
_JSON_LINE: Final = re.compile(r"in (?:record/value|line|record) (\d+)")
_FOUND: Final = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_REASONS: Final = (
    ("unterminated quote", "a quoted value does not end, or continues after its closing quote"),
    ("not utf-8", "it is not UTF-8; set config.encoding"),
    ("invalid state", "its lines end in different ways, or a quote appears where none is allowed"),
    ("Malformed JSON", "a value is not JSON, or a map has a key twice"),
    ("Maximum line size", "a line is longer than 2 MiB"),
)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is read of a file, and how: `source` is the SQL that gives its columns as c0, c1, …"""

    file: RowFile
    fed: Fed
    kinds: tuple[str, ...]
    source: str
    values: tuple[tuple[Column, Value], ...]
    inside: tuple[str, ...]  # SQL of conditions on rows to take
    fixed: tuple[tuple[Column, str], ...]  # columns that have the same value (SQL) in all rows: constants, NULL


def stage_file(job: Job, file: RowFile, table: TableSchema, chunk: Path) -> StagedFile:
    """Write the rows that fit to `chunk` (Parquet); return what the file held.

    Raises:
        SchemaMismatch: the file cannot be read, or rows do not fit, with line and column.
    """
    import duckdb

    try:
        if file.path.stat().st_size == 0:
            return StagedFile((), 0)
        refuse_odd_json(file)
        keep_digits(file)
        footer = read_exactly(file) if file.format is FileFormat.PARQUET else None
        plan = _plan(job, file, table, footer)
        bad: list[BadRow] = []
        try:
            rows = _copy(job, plan, chunk, everything=True)
        except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.OutOfRangeException):
            bad = _bad_rows(job, plan)
            if not bad:
                raise
            rows = 0 if bad and file.bad_rows == "stop" else _copy(job, plan, chunk, everything=False)
        refuse(file, bad, rows)
    except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.IOException) as error:
        raise _unreadable(file, plain_message(error)) from error
    return StagedFile(plan.fed.names, rows, _days(job, file, chunk), tuple(bad))


def _plan(job: Job, file: RowFile, table: TableSchema, footer: Footer | None) -> _Plan:
    names, kinds = _columns(job, file) if footer is None else _typed_columns(job, file, footer)
    fed = feed(file, table, names)
    if footer is not None:
        refuse_finer_inside(file, footer, fed)
    values = tuple(
        (column, value_of(column, f"c{fed.sources[column.name]}", kinds[fed.sources[column.name]], file))
        for column in staged_by(table)
        if column.name in fed.sources
    )
    own = {*fed.sources, file.rest, file.whole, file.digest}
    fixed = tuple(
        (column, quoted(file.constants[column.name]) if column.name in file.constants else "NULL")
        for column in staged_by(table)
        if column.name not in own and column.name in {*file.constants, file.day}
    )  # what else the file does not have is NULL, and is left out: empty columns cost as much as others
    return _Plan(file, fed, kinds, _source(file, names, footer), values, _inside(file, values), fixed)


def _columns(job: Job, file: RowFile) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names and DuckDB's types of a file's columns."""
    if file.format is FileFormat.CSV:
        names = csv_header(file)
        return names, ("VARCHAR",) * len(names)
    path = quoted(str(file.path))
    odd = job.execute(statement("json_odd", file=path)).fetchone()
    if odd is not None:
        raise SchemaMismatch(f"{file.name}: record {odd[0]}: this is not a JSON object.")
    keys = job.execute(statement("json_keys", file=path, most=str(COLUMNS_MAX + 1))).fetchall()
    names = tuple(key for (key,) in keys if not is_pointer(file, key))
    names += pointers(file, names)
    return names, ("VARCHAR",) * len(names)


def _typed_columns(job: Job, file: RowFile, footer: Footer) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of a Parquet file's columns, and the types of what `_source` gives."""
    found = job.execute(statement("parquet_columns", file=quoted(str(file.path)))).fetchall()
    kinds = (
        EXACT_TIME if is_made_plain(field) else kind for field, (_, kind, *_) in zip(footer.columns, found, strict=True)
    )
    return tuple(field.name for field in footer.columns), tuple(kinds)


def _source(file: RowFile, names: Sequence[str], footer: Footer | None) -> str:
    path = quoted(str(file.path))
    if file.format is FileFormat.CSV:
        columns = ", ".join(f"c{place}: 'VARCHAR'" for place in range(len(names)))
        nulls = ", ".join(map(quoted, file.nulls))
        words = {"columns": "{" + columns + "}", "delimiter": quoted(file.delimiter), "nulls": f"[{nulls}]"}
        return statement("csv_file", file=path, **words)
    renamed = ", ".join(f"{duckdb_name(name)} AS c{place}" for place, name in enumerate(names))
    if file.format is FileFormat.NDJSON and (file.whole or wanted_pointers(file)):
        paths = (name if is_pointer(file, name) else _pointer(name) for name in names)
        found = [f"json_extract_string(json, {quoted(path)}) AS c{place}" for place, path in enumerate(paths)]
        return statement("json_lines", file=path, names=", ".join([*found, f"json AS {_WHOLE}"]))
    if file.format is FileFormat.NDJSON:
        columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in names)
        return statement("json_file", file=path, names=renamed, columns="{" + columns + "}")
    assert footer is not None, "only Parquet is left"
    typed = (
        f"{exact_time(field) if is_made_plain(field) else duckdb_name(field.name)} AS c{place}"
        for place, field in enumerate(footer.columns)
    )
    return statement("parquet_file", file=path, names=", ".join(typed))


def _copy(job: Job, plan: _Plan, chunk: Path, *, everything: bool) -> int:
    """Write the typed rows: `everything` fails on the first one that does not fit, else those are left out."""
    parts = [f"{v.strict if everything else v.lenient} AS {duckdb_name(column.name)}" for column, v in plan.values]
    parts += [f"CAST({value} AS {_type(column)}) AS {duckdb_name(column.name)}" for column, value in plan.fixed]
    if plan.file.rest:
        parts.append(f"{_rest(plan)} AS {duckdb_name(plan.file.rest)}")
    if plan.file.digest:
        parts.append(f"{_digest(plan)} AS {duckdb_name(plan.file.digest)}")
    if plan.file.whole:
        parts.append(f"{_whole(plan)} AS {duckdb_name(plan.file.whole)}")
    if everything:
        wrong = [f"{value.text} IS NULL" for column, value in plan.values if column.mode == "REQUIRED"]
        wrong += _tests(plan)[len(plan.values) :]
        test = f"CASE WHEN {' OR '.join(wrong)} THEN error('it does not fit') ELSE true END" if wrong else "true"
    else:
        test = f"NOT ({' OR '.join(_tests(plan))})"
    test = " AND ".join([*plan.inside, f"({test})"])
    words = {"select": ", ".join(parts), "source": plan.source, "test": test, "file": quoted(str(chunk))}
    copy = statement("file_chunk", **words, rows=str(GROUP_ROWS), ordered=str(plan.file.in_order).lower())
    row = job.execute(copy).fetchone()
    return int(row[0]) if row else 0


def _inside(file: RowFile, values: Sequence[tuple[Column, Value]]) -> tuple[str, ...]:
    tests = (inside_of(column, value, file) for column, value in values)
    return tuple(test for test in tests if test is not None)


def _type(column: Column) -> str:
    return duckdb_type(column_type(column))


def _tests(plan: _Plan) -> list[str]:
    """Return the SQL of what may be wrong with a row: a value for each column, then a value without a column."""
    homeless = (f"(c{plan.fed.names.index(name)} IS NOT NULL)" for name in plan.file.homeless)
    return [*(_is_wrong(column, value) for column, value in plan.values), *homeless]


def _is_wrong(column: Column, value: Value) -> str:
    wrong = f"({value.text} IS NOT NULL AND {value.lenient} IS NULL)"
    return f"({value.text} IS NULL OR {wrong})" if column.mode == "REQUIRED" else wrong


def _bad_rows(job: Job, plan: _Plan) -> list[BadRow]:
    """Return the rows that do not fit, one more than may be set aside at most, each with all its problems."""
    sql = statement(
        "bad_rows",
        source=plan.source,
        inside=" AND ".join(["true", *plan.inside]),
        tests=", ".join(_tests(plan)),
        columns=", ".join(_shown(f"c{place}", kind, plan.file) for place, kind in enumerate(plan.kinds)),
        most=str(plan.file.bad_rows_max + 1),
    )
    found = job.execute(sql).fetchall()
    lines = lines_of(plan.file, [row[0] for row in found])
    return [_bad_row(plan, row, lines) for row in found]


def _shown(source: str, kind: str, file: RowFile) -> str:
    """Return the SQL of a value for a report: values of Python have fewer digits, and no infinite days."""
    return source if kind in {"VARCHAR", EXACT_TIME} else f"{as_text(source, kind, file)} AS {source}"


def _bad_row(plan: _Plan, row: Sequence[Any], lines: Mapping[int, int]) -> BadRow:
    number, flags, *values = row
    problems = {}
    for (column, _), wrong in zip(plan.values, flags, strict=False):
        if wrong:
            came = values[plan.fed.sources[column.name]]
            problem = f"{problem_of(column, plan.file, f'{came}')}: {f'{came}'[:60]!r}"
            problems[column.name] = "has no value" if came is None else problem
    homeless = zip(plan.file.homeless.items(), flags[len(plan.values) :], strict=True)
    problems |= {name: problem for (name, problem), wrong in homeless if wrong}
    pairs = zip(plan.fed.names, values, strict=True)
    content = orjson.dumps({name: value for name, value in pairs if value is not None}, default=str).decode()
    return BadRow(number, lines.get(number, 0), problems, content[:CONTENT_MAX])


def _rest(plan: _Plan) -> str:
    """Return the SQL of the other columns as one JSON object; NULL where none has a value."""
    if not plan.fed.rest:
        return "CAST(NULL AS VARCHAR)"
    fields = ", ".join(
        f"{quoted(orjson.dumps(other_name(plan.fed.names[place])).decode() + ':')}"
        f" || to_json({as_text(f'c{place}', plan.kinds[place], plan.file)})"
        for place in plan.fed.rest
    )
    return f"nullif('{{' || concat_ws(',', {fields}) || '}}', '{{}}')"


def _digest(plan: _Plan) -> str:
    """Return the SQL of the row's digest: of all its texts, each after its column's name."""
    texts = (
        f"{quoted(plan.fed.names[place] + '=')} || {as_text(f'c{place}', plan.kinds[place], plan.file)}"
        for place in by_name(plan.file, plan.fed.names)
    )
    return f"left(md5(concat_ws(chr(31), {', '.join(texts)})), 16)"


def _whole(plan: _Plan) -> str:
    """Return the SQL of the row as one JSON object."""
    if plan.file.format is FileFormat.NDJSON:
        return f"CAST({_WHOLE} AS JSON)"
    fields = ", ".join(
        f"{quoted(orjson.dumps(name).decode() + ':')} || coalesce({as_json(f'c{place}', kind, plan.file)}, 'null')"
        for place, (name, kind) in enumerate(zip(plan.fed.names, plan.kinds, strict=True))
    )
    return f"CAST('{{' || concat_ws(',', {fields}) || '}}' AS JSON)"


def _pointer(name: str) -> str:
    """Return the JSON pointer (RFC 6901) of a key."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _days(job: Job, file: RowFile, chunk: Path) -> tuple[date, ...]:
    if not file.day or not chunk.exists():
        return ()
    days = statement("file_days", file=quoted(str(chunk)), day=duckdb_name(file.day), most=str(DAYS_MAX))
    return tuple(day for (day,) in job.execute(days).fetchall())


def _unreadable(file: RowFile, text: str) -> SchemaMismatch:
    """Return the reason that a file cannot be read; the values that DuckDB quotes are left out."""
    line = _LINE.search(text) or _JSON_LINE.search(text)
    where = f"{file.name}: line {line[1]}" if line else file.name
    number = _FOUND.search(text)
    if number:
        return SchemaMismatch(f"{where}: {number[2]} values, but the header has {number[1]} columns.")
    reason = next((reason for sign, reason in _REASONS if sign in text), text.splitlines()[0][:200])
    return SchemaMismatch(f"{where}: {reason}.")
