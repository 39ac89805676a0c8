"""`generic.local_bq_transformer`: SQL over the org's own tables into a table of the org."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from convergence.ports.processor import Context
from convergence.processors.generic.arguments import Argument
from convergence.processors.generic.bq_execute import ExecuteSettings, Sql, run_sql
from convergence.processors.generic.target import Target
from convergence.processors.settings import Settings, settings


class Transformation(Settings):
    """`type` is a note of older files: there is only SQL."""

    sql: Sql
    type: str = "sql"


class TransformerSettings(Settings):
    """`transformation: {type, sql}`, or `sql`, or `query`."""

    transformation: Transformation | None = None
    sql: Sql | None = None
    query: Sql | None = None
    parameters: tuple[Argument, ...] = ()
    params: dict[str, Any] = Field(default_factory=dict)
    dry_run: bool = False
    bytes_max: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_statement(self) -> TransformerSettings:
        if sum(given is not None for given in (self.transformation, self.sql, self.query)) != 1:
            raise ValueError("give one of transformation, sql and query")
        return self

    @property
    def statement(self) -> Sql:
        """The SQL, whichever key it is under."""
        found = self.transformation.sql if self.transformation is not None else self.sql or self.query
        assert found is not None, "required by the model"
        return found


class TransformerProcessor:
    """Rows of a SELECT replace, extend or merge into the slice that the destination names."""

    config_model = TransformerSettings
    runs_sql = True
    destination_model = Target
    resumable = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Transform and load."""
        options = settings(TransformerSettings, step_config)
        target = settings(Target, step_config, "destination")
        statement = ExecuteSettings(
            query=options.statement,
            parameters=options.parameters,
            params=options.params,
            dry_run=options.dry_run,
            bytes_max=options.bytes_max,
        )
        return await run_sql(statement, target, context)


def get_engine() -> TransformerProcessor:
    """Return the processor."""
    return TransformerProcessor()
