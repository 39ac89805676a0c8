"""SQL files that no run could read: procedures, migrations, reports and views."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from convergence.config.files.kinds import Kind
from convergence.config.files.procedures import load_procedure
from convergence.config.files.reports import read_report
from convergence.errors import ConfigError, ConvergenceError
from convergence.ports.sql_reader import SqlReader

SQL_KINDS: Final = frozenset({Kind.PROCEDURE, Kind.MIGRATION, Kind.REPORT, Kind.VIEW})
_LINE: Final = re.compile(r"line (\d{1,9}), (column \d{1,9}: )")


def check_sql_file(root: Path, file: Path, kind: Kind, reader: SqlReader) -> list[ConfigError]:
    """Return the mistakes of one file, each with `file:line`; none for other kinds."""
    if kind is Kind.PROCEDURE:
        return list(reader.read_procedure(load_procedure(root, file)))
    if kind is Kind.MIGRATION:
        return list(reader.read_migration(load_procedure(root, file)))
    return list(_report(root, file, reader)) if kind in SQL_KINDS else []


def _report(root: Path, file: Path, reader: SqlReader) -> list[ConfigError]:
    """A report reads the org's tables only, and all of them have a schema file."""
    name = file.relative_to(root).as_posix()
    try:
        report = read_report(file)
    except ConvergenceError as error:
        return [ConfigError(str(error).removeprefix(f"{file}: "), where=f"{name}:1")]
    text = file.read_text(encoding="utf-8")
    before = text.count("\n", 0, text.index(report.statement))
    sql = report.sql()
    try:
        reader.read_statement(sql)
        bound = reader.bind(sql, {}, writes=False)
    except ConvergenceError as error:
        found = _LINE.search(str(error))
        where = f"{name}:{before + (int(found[1]) if found else 1)}"
        return [ConfigError(_LINE.sub(r"\2", str(error)), where=where)]
    unknown = (f"the table {table!r} has no schema file, so no org has it" for table in bound.tables)
    foreign = (f"{each!r} names a dataset: write {{dataset}} before tables" for each in bound.datasets)
    return [ConfigError(message, where=f"{name}:{before + 1}") for message in (*unknown, *foreign)]
