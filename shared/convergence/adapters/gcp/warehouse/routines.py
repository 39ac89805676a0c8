"""Stored procedures: real ones of BigQuery, in the dataset `organizations`, made from files.

A procedure's description holds the digest, the file's name and the file's text (compressed), so that one request
replaces all of them together and a sync needs no table of its own.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from convergence.adapters.gcp.warehouse.client import HTTP, Client
from convergence.adapters.gcp.warehouse.tables import Tables
from convergence.adapters.googlesql.procedures.text import procedure_name, with_project
from convergence.adapters.googlesql.types import SqlType
from convergence.errors import ConfigError, ConfigErrors, Denied, NotFound, StepFailed, did_you_mean
from convergence.ports.warehouse import SHARED_DATASET, Routine

if TYPE_CHECKING:
    from google.cloud import bigquery

    from convergence.adapters.googlesql.scripts.nodes import Node, Procedure

DESCRIPTION_MAX: Final = 16_384  # characters ("Quotas and limits", BigQuery)


class Routines:
    """All procedures of the project's dataset. The project stands for `{project_id}` in their files."""

    def __init__(self, client: Client, tables: Tables) -> None:
        self._client, self._tables = client, tables
        self._parsed: dict[Routine, Procedure] = {}

    async def sync(self, routines: Sequence[Routine], *, force: bool) -> list[str]:
        """Create or replace those whose digest changed; see the port."""
        known = {routine.name: routine.digest for routine in await self.all()}
        changed = [routine for routine in routines if force or known.get(routine.name) != routine.digest]
        problems = [problem for routine in changed for problem in self._problems(routine)]
        if problems:
            raise ConfigErrors(problems)
        if changed:
            await self._tables.ensure_dataset(SHARED_DATASET)
        for routine in changed:
            await self._store(routine)
        return [routine.name for routine in changed]

    async def all(self) -> list[Routine]:
        """Return all procedures that a sync made, by name."""
        from google.api_core.exceptions import NotFound as Missing

        def listed(client: bigquery.Client) -> list[str]:
            return [each.routine_id for each in client.list_routines(self._path(), **HTTP)]

        try:
            names = await self._client.call(listed, doing="listing the procedures")
        except Missing:
            return []
        found = [await self._read(name) for name in sorted(names)]
        return [routine for routine in found if routine is not None]

    async def get(self, name: str) -> Routine:
        """Return a procedure. Raises `NotFound` with the nearest name."""
        found = await self._read(name)
        if found is None:
            known = [routine.name for routine in await self.all()]
            raise NotFound(f"No procedure is called {name!r}.{did_you_mean(name, known)}")
        return found

    async def procedure(self, path: str) -> Procedure:
        """Return the tree of the one that `path` names. Raises `NotFound`; `Denied` for one that is elsewhere."""
        return self.parsed(await self.get(procedure_name(path, self._client.project)))

    async def called_by(self, body: Sequence[Node], source: str) -> dict[str, Procedure]:
        """Return the procedures that statements call, and those that these call, by the paths that name them.

        Raises:
            NotFound, Denied: as `procedure` does, with the place of the CALL.
        """
        from convergence.adapters.googlesql.scripts.walk import calls_of

        found: dict[str, Procedure] = {}
        waiting = [(call, source) for call in calls_of(body)]
        while waiting:
            call, source = waiting.pop()
            if call.procedure in found:
                continue
            try:
                procedure = found[call.procedure] = await self.procedure(call.procedure)
            except (NotFound, Denied) as error:
                raise type(error)(f"{source}:{call.at.line}:{call.at.column}: {error}") from error
            waiting += [(each, procedure.source) for each in calls_of(procedure.body)]
        return found

    async def delete(self, name: str) -> None:
        """Remove a procedure. Raises `NotFound`."""
        await self.get(name)
        await self._client.call(
            lambda client: client.delete_routine(self._path(name), not_found_ok=True, **HTTP),
            doing=f"deleting the procedure {name}",
        )

    def parsed(self, routine: Routine) -> Procedure:
        """Return the tree of a routine. Raises `ConfigError` for a syntax error or a foreign placeholder."""
        from convergence.adapters.googlesql.procedures.parser import parse_procedure

        if routine not in self._parsed:
            self._parsed[routine] = parse_procedure(with_project(routine, self._client.project), routine.source)
        return self._parsed[routine]

    def _problems(self, routine: Routine) -> list[ConfigError]:
        try:
            procedure = self.parsed(routine)
        except ConfigError as error:
            return [error]
        problems = check_procedure(procedure)
        if procedure.name != routine.name:
            message = f"the file defines {procedure.name!r}, but its name is {routine.name!r}"
            problems.append(ConfigError(message, where=routine.source))
        if len(_described(routine)) > DESCRIPTION_MAX:
            problems.append(ConfigError("the file is too long to be stored; split the procedure", where=routine.source))
        return problems

    async def _store(self, routine: Routine) -> None:
        from google.api_core.exceptions import Conflict
        from google.cloud import bigquery

        procedure = self.parsed(routine)
        expected = bigquery.Routine(
            self._path(routine.name),
            type_="PROCEDURE",
            language="SQL",
            body=procedure.body[0].at.sql,
            arguments=[
                bigquery.RoutineArgument.from_api_repr(
                    {"name": each.name, "mode": each.mode, **_argument_type(each.type)}
                )
                for each in procedure.arguments
            ],
            description=_described(routine),
        )
        # Names without a dataset mean the caller's, so they cannot be resolved when the procedure is made.
        expected._properties["strictMode"] = False  # noqa: SLF001 - the client has no property for this field
        doing = f"storing the procedure {routine.name}"
        # An update replaces the whole routine: a field that is missing gets its default, and strict mode's is on.
        fields = ["body", "arguments", "description", "language", "type_", "strictMode"]
        try:
            await self._client.call(lambda client: client.create_routine(expected, **HTTP), doing=doing)
        except Conflict:
            await self._client.call(lambda client: client.update_routine(expected, fields, **HTTP), doing=doing)

    async def _read(self, name: str) -> Routine | None:
        from google.api_core.exceptions import NotFound as Missing

        try:
            found = await self._client.call(
                lambda client: client.get_routine(self._path(name), **HTTP), doing=f"reading the procedure {name}"
            )
        except Missing:
            return None
        return _routine(name, found.description or "")

    def _path(self, name: str = "") -> str:
        return f"{self._client.project}.{SHARED_DATASET}" + (f".{name}" if name else "")


def check_procedure(procedure: Procedure) -> list[ConfigError]:
    """Return what cannot run, each with `file:line:column`."""
    from convergence.adapters.googlesql.access import refuse_kind
    from convergence.adapters.googlesql.functions import refuse_unknown
    from convergence.adapters.googlesql.parse import parse_statement
    from convergence.adapters.googlesql.scripts.walk import texts_of

    problems: list[ConfigError] = []
    for text, is_expression in texts_of(procedure.body):
        try:
            tree = parse_statement(f"SELECT ({text.sql}\n)" if is_expression else text.sql)
            refuse_kind(tree)
            refuse_unknown(tree)
        except StepFailed as error:
            problems.append(ConfigError(str(error), where=f"{procedure.source}:{text.line}:{text.column}"))
    return problems


def _described(routine: Routine) -> str:
    text = base64.b64encode(zlib.compress(routine.definition.encode(), 9)).decode()
    return orjson.dumps({"digest": routine.digest, "source": routine.source, "text": text}).decode()


def _routine(name: str, description: str) -> Routine | None:
    """Return the routine of a description; None for a procedure that was created by other means."""
    try:
        found = orjson.loads(description)
        text = zlib.decompress(base64.b64decode(found["text"])).decode()
        return Routine(name, str(found["digest"]), str(found["source"]), text)
    except (ValueError, KeyError, TypeError, zlib.error):
        return None


def _argument_type(kind: SqlType | None) -> dict[str, Any]:
    if kind is None:
        return {"argumentKind": "ANY_TYPE"}
    return {"dataType": _data_type(kind)}


def _data_type(kind: SqlType) -> dict[str, Any]:
    """Return a type as `StandardSqlDataType` of the API."""
    if kind.name == "ARRAY":
        return {"typeKind": "ARRAY", "arrayElementType": _data_type(kind.element)}
    if kind.name == "STRUCT":
        fields = [{"name": name, "type": _data_type(each)} for name, each in kind.fields]
        return {"typeKind": "STRUCT", "structType": {"fields": fields}}
    return {"typeKind": kind.name}
