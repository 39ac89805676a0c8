"""Reading SQL without an org's data: the parser, the checks and the binder of the embedded warehouse.

Names are resolved in a database in memory, in which a statement's tables are made as their schema files say.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from convergence.adapters.googlesql.procedures.text import procedure_name
from convergence.adapters.googlesql.types import SqlType, parse_type
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.routines import Routines
from convergence.adapters.local.warehouse.session import Session
from convergence.adapters.local.warehouse.statements import Statements
from convergence.adapters.local.warehouse.tables import ensure_table
from convergence.errors import ConfigError, Denied, NotFound
from convergence.ports.sql_reader import DATASET, Bound, BoundColumn
from convergence.ports.warehouse import (
    SHARED_DATASET,
    WRITTEN_LOGS,
    Lineage,
    Routine,
    Scope,
    TableSchema,
)

if TYPE_CHECKING:
    from convergence.adapters.googlesql.procedures.folded import Folded
    from convergence.adapters.googlesql.scripts.nodes import Procedure
    from convergence.adapters.local.duckdb_sql.context import StatementContext

_ANY_RUN: Final = Lineage(
    org_slug="org", pipeline_id="", credential_id="", run_id="", ingested_at=datetime.min.replace(tzinfo=UTC)
)
_MEMORY_MIB: Final = 160
_ALTERS: Final = re.compile(r"\bALTER\s+TABLE\b", re.IGNORECASE)
Name = tuple[str, str]  # dataset, table


class DuckDbReader:
    """See the port. `project` stands for `{project_id}`; `schema_of` raises `NotFound` for a table without a file."""

    def __init__(self, project: str, schema_of: Callable[[str], TableSchema]) -> None:
        self.project = project
        self._schema_of = schema_of
        self._routines = Routines(project)
        self._statements = Statements(project)
        self._session = Session(None, threads=1, memory_mib=_MEMORY_MIB)
        self._made: set[Name] = set()

    def close(self) -> None:
        """Close the database."""
        self._session.close()

    def read_statement(self, sql: str) -> None:
        """See the port."""
        from convergence.adapters.local.duckdb_sql.check import check_statement

        check_statement(sql)

    def bind(self, sql: str, types: Mapping[str, str], *, writes: bool = True) -> Bound:
        """See the port."""
        from convergence.adapters.local.duckdb_sql.context import StatementContext
        from convergence.adapters.local.duckdb_sql.translate import parse

        project, datasets = _written_out(sql)
        if project - {self.project} or datasets:
            return Bound(datasets=tuple(sorted(datasets)))
        scope = Scope(dataset=DATASET, writable=writes, lineage=_ANY_RUN)
        given = tuple(sorted((name.lower(), parse_type(kind)) for name, kind in types.items()))
        context = StatementContext(scope=scope, project=self.project, parameters=given)
        unknown = [name for name in sorted(parse(sql, context).touched.existing) if not self._make(name)]
        if unknown:
            return Bound(tables=tuple(name for _, name in unknown))
        if query := _query_of(sql):  # DuckDB explains no statement that makes a table
            self.bind(query, types, writes=False)
        work = partial(self._columns, sql=sql, context=context)
        return Bound(asyncio.run(self._session.read(work, googlesql=True)))

    def read_procedure(self, routine: Routine) -> Sequence[ConfigError]:
        """See the port."""
        return self._routines.problems(routine)

    def parameters_of(self, routine: Routine) -> Mapping[str, bool]:
        """See the port."""
        arguments = self._routines.parsed(routine).arguments
        return {each.name: each.mode != "OUT" or each.type is None for each in arguments}

    def bind_call(
        self,
        routine: Routine,
        types: Mapping[str, str],
        values: Mapping[str, str],
        find: Callable[[str], Routine],
    ) -> None:
        """See the port."""
        from convergence.adapters.googlesql.procedures.constants import Unknown, typed
        from convergence.adapters.googlesql.procedures.fold import fold_procedure
        from convergence.adapters.googlesql.procedures.reach import read_folded

        tree = self._routines.parsed(routine)
        kinds = {name: parse_type(kind) for name, kind in types.items()}
        open_value = Unknown("it is an argument that the run gives")
        known = {name: typed(values[name], kind) if name in values else open_value for name, kind in kinds.items()}
        system = {"@@project_id": self.project, "@@dataset_id": DATASET, "@@dataset_project_id": self.project}
        scope = Scope(dataset=DATASET, writable=True, lineage=_ANY_RUN)
        try:
            _refuse_alters(routine)
            folded = fold_procedure(tree, known, lambda path: self._called(path, find), system)
            reach = read_folded(folded, scope, project=self.project)
        except (Denied, NotFound):
            return  # it depends on what only the run knows
        if not all(self._make(name) for name in sorted(reach.existing)):
            return
        asyncio.run(
            self._session.write(partial(self._rehearse, folded=folded, types=kinds, scope=scope), googlesql=True)
        )

    def _called(self, path: str, find: Callable[[str], Routine]) -> Procedure:
        routine = find(procedure_name(path, self.project))
        _refuse_alters(routine)
        return self._routines.parsed(routine)

    def _rehearse(self, job: Job, *, folded: Folded, types: Mapping[str, SqlType], scope: Scope) -> None:
        from convergence.adapters.local.duckdb_sql.context import StatementContext
        from convergence.adapters.local.duckdb_sql.rehearsal import Rehearsal

        rehearsal = Rehearsal(job, self._statements, StatementContext(scope=scope, project=self.project))
        job.execute("BEGIN TRANSACTION")
        try:
            rehearsal.procedure(folded, types)
        finally:
            job.execute("ROLLBACK")

    def read_migration(self, routine: Routine) -> Sequence[ConfigError]:
        """See the port."""
        from convergence.adapters.googlesql.scripts.parser import parse_script
        from convergence.adapters.local.duckdb_sql.check import check_script

        try:
            body = parse_script(self._routines.with_project(routine, DATASET), routine.source)
        except ConfigError as error:
            return [error]
        return check_script(body, routine.source)

    def _columns(self, job: Job, *, sql: str, context: StatementContext) -> tuple[BoundColumn, ...] | None:
        translation = self._statements.prepare(job, sql, context)
        values = dict.fromkeys(translation.parameters)
        self._statements.explain(job, translation, values)
        if not translation.is_query:
            return None
        return _described(sql, self._statements.describe(job, translation, values))

    def _make(self, name: Name) -> bool:
        """Create a table from its schema file; False without one."""
        if name in self._made:
            return True
        schema = self._described(name[1])
        if schema is None:
            return False
        asyncio.run(self._session.write(lambda job: ensure_table(job, name[0], schema)))
        self._statements.catalog.forget()
        self._made.add(name)
        return True

    def _described(self, table: str) -> TableSchema | None:
        log = next((log for log, written in WRITTEN_LOGS.items() if written == table), None)
        try:
            return self._schema_of(table) if log is None else self._schema_of(log).written
        except (NotFound, ConfigError):
            return None


def _refuse_alters(routine: Routine) -> None:
    """Raise `Denied` for a procedure that alters a table: what follows sees other columns than the schema file has."""
    if _ALTERS.search(routine.definition):
        raise Denied(f"{routine.name} alters a table.")


def _described(sql: str, columns: Sequence[tuple[str, SqlType]]) -> tuple[BoundColumn, ...]:
    """Return the columns, with the literal that the statement has for them: a text, or NULL."""
    from sqlglot import exp

    from convergence.adapters.googlesql.parse import parse_statement

    tree = parse_statement(sql)
    written = [each.unalias() for each in tree.selects] if isinstance(tree, exp.Select) else []
    if len(written) != len(columns):  # a star, or several queries
        return tuple(BoundColumn(name, str(kind)) for name, kind in columns)
    return tuple(
        BoundColumn(
            name,
            "" if isinstance(value, exp.Null) else str(kind),
            value.name if isinstance(value, exp.Literal) and value.is_string else None,
        )
        for (name, kind), value in zip(columns, written, strict=True)
    )


def _query_of(sql: str) -> str:
    """Return the query from which a statement makes a table or view; empty for other statements."""
    from sqlglot import exp

    from convergence.adapters.googlesql.parse import parse_statement

    tree = parse_statement(sql)
    query = tree.args.get("expression") if isinstance(tree, exp.Create) else None
    return query.sql("bigquery") if isinstance(query, exp.Query) else ""


def _written_out(sql: str) -> tuple[set[str], set[str]]:
    """Return the projects that a statement names, and the datasets other than the org's and the shared one."""
    from sqlglot import exp

    from convergence.adapters.googlesql.parse import parse_statement

    tables = list(parse_statement(sql).find_all(exp.Table))
    own = {"", DATASET, SHARED_DATASET, "INFORMATION_SCHEMA"}
    aliases = {table.alias_or_name for table in tables}  # FROM t, t.items reads an array of t
    return {table.catalog for table in tables} - {""}, {table.db for table in tables} - own - aliases
