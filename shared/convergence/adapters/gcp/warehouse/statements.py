"""GoogleSQL as it is sent: checked against its scope before, its errors explained afterwards.

The text goes to BigQuery as it was written, but for central tables (`googlesql.own_rows`); names without a dataset mean
the job's default dataset. What it touches is read from its tree (`googlesql.access`), as the embedded warehouse does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from convergence.adapters.gcp.warehouse.client import HTTP, Client, translate
from convergence.adapters.gcp.warehouse.errors import missing_column, missing_table
from convergence.adapters.gcp.warehouse.tables import Tables
from convergence.adapters.gcp.warehouse.values import query_parameters
from convergence.adapters.googlesql.types import SqlType
from convergence.errors import InvalidInput, StepFailed, did_you_mean
from convergence.ports.warehouse import Parameter, Scope

if TYPE_CHECKING:
    from google.cloud import bigquery
    from sqlglot import exp

    from convergence.adapters.googlesql.access import Touched

Name = tuple[str, str]  # (dataset, table)
_PLACE: Final = re.compile(r" at \[[^\[\]]*\]\s*$")


@dataclass(frozen=True, slots=True)
class PreparedStatement:
    """A statement that may run. `sql` is what is sent: it reads only its org's rows of central tables."""

    sql: str
    touched: Touched
    tree: exp.Expr

    @property
    def defines(self) -> bool:
        """Whether it is DDL, which no transaction takes."""
        from convergence.adapters.googlesql.access import DEFINITIONS

        return isinstance(self.tree, DEFINITIONS)


class Statements:
    """Checks statements and explains their errors."""

    def __init__(self, client: Client, tables: Tables) -> None:
        self._client, self._tables = client, tables

    def prepare(
        self,
        sql: str,
        scope: Scope,
        *,
        parameters: Iterable[str] | None = None,
    ) -> PreparedStatement:
        """Parse a statement and check what it touches; `parameters` are the names that have values.

        Raises:
            StepFailed: it does not parse, is of a kind that may not run, or calls an unknown function.
            Denied: it reaches outside of its scope.
            InvalidInput: a parameter has no value.
        """
        from convergence.adapters.googlesql.checked import check_statement
        from convergence.adapters.googlesql.edits import applied

        tree, touched = check_statement(sql, scope, project=self._client.project)
        if parameters is not None:
            _refuse_unbound(tree, {name.lower() for name in parameters})
        return PreparedStatement(applied(sql, touched.own_rows), touched, tree)

    def config(self, scope: Scope, parameters: Mapping[str, Parameter], **options: Any) -> bigquery.QueryJobConfig:
        """Return a query job's configuration."""
        from google.cloud import bigquery

        return bigquery.QueryJobConfig(
            default_dataset=f"{self._client.project}.{scope.dataset}",
            query_parameters=query_parameters(parameters),
            **options,
        )

    async def dry_run(self, sql: str, config: bigquery.QueryJobConfig, touched: Touched) -> int:
        """Return how many bytes a statement would read. Raises `StepFailed` when it is wrong."""
        from google.api_core import exceptions as google

        config.dry_run, config.use_query_cache = True, False

        def send(client: bigquery.Client) -> int:
            try:
                return int(client.query(sql, job_config=config, job_retry=None, **HTTP).total_bytes_processed or 0)
            except (google.BadRequest, google.NotFound) as error:
                raise StepFailed(_message(error)) from error

        try:
            return await self._client.call(send, doing="a dry run")
        except StepFailed as error:
            raise await self.explained(error, touched) from error
        except (google.Conflict, google.PreconditionFailed) as error:
            raise translate(error, "a dry run") from error

    async def explained(self, error: StepFailed, touched: Touched) -> StepFailed:
        """Return the error with the nearest names if a name was wrong; otherwise with BigQuery's message."""
        message = str(error)
        table = missing_table(message)
        if table is not None and table[0]:
            return StepFailed(
                f"There is no table {'.'.join(table)}.{did_you_mean(table[1], await self._tables.names(table[0]))}"
            )
        columns: dict[str, SqlType] = {}
        if missing_column(message, ()) is not None:
            for dataset, name in sorted(touched.existing):
                columns |= await self._tables.columns(dataset, name) if dataset else {}
        return StepFailed(missing_column(message, columns) or message)


def spelled(tree: exp.Expr, parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Return the parameters under the names by which the statement calls them: case has no meaning there."""
    from sqlglot import exp

    names = {node.name.lower(): node.name for node in tree.find_all(exp.Parameter)}
    return {names.get(name.lower(), name): value for name, value in parameters.items()}


def _refuse_unbound(tree: exp.Expr, known: set[str]) -> None:
    from sqlglot import exp

    for node in tree.find_all(exp.Parameter):
        if isinstance(node.this, exp.Parameter) or isinstance(node.parent, exp.Parameter):
            continue  # @@system
        if node.name.lower() not in known:
            raise InvalidInput(f"The statement's parameter @{node.name} has no value.{did_you_mean(node.name, known)}")


def _message(error: Any) -> str:
    """Return Google's own sentence without the request that the client puts before it."""
    errors = getattr(error, "errors", None) or [{}]
    text = str(errors[0].get("message") or error.message) if isinstance(errors[0], Mapping) else str(error.message)
    return text.partition("prettyPrint=false: ")[2] or text
