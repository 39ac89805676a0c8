"""`generic.procedure_executor`: calls a stored procedure on the org's dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ConfigDict, Field

from convergence.errors import StillRunning
from convergence.ports.processor import CONTINUE, SUCCESS, Context
from convergence.ports.warehouse import SHARED_DATASET
from convergence.processors.focus.settings import CANDIDATES
from convergence.processors.generic.arguments import Argument, arguments
from convergence.processors.generic.bq_execute import WAIT_S
from convergence.processors.settings import Destination, Settings, settings, table_of

ROWS_SHOWN_MAX: Final = 20
PUBLISHED: Final = "cost_data_standard_1_3"


class Procedure(Settings):
    """`dataset` is the procedure's; only the system's own dataset has procedures."""

    name: str
    dataset: str = SHARED_DATASET


class ProcedureSettings(Settings):
    """`procedure`: a name or {name, dataset}; arguments as a typed list, or as a plain map whose types are guessed.

    `tables`: further tables that are created from their schema files if they do not exist yet. `repeatable`: called a
    second time it leaves the same rows, so a replay with other parameters may call it again.
    """

    # Further keys are accepted: users' files have provider and dates of the call there.
    model_config = ConfigDict(extra="allow", frozen=True)

    procedure: str | Procedure
    parameters: tuple[Argument, ...] = ()
    params: dict[str, Any] = Field(default_factory=dict)
    tables: tuple[str, ...] = ()
    repeatable: bool = False

    def uses_tables(self) -> Sequence[str]:
        """Return `tables`: each is made from its schema file."""
        return self.tables


class ProcedureProcessor:
    """One call, in one transaction, once no matter how often the step is repeated."""

    config_model = ProcedureSettings
    destination_model = Destination
    destination_optional = True
    resumable = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Call; the procedure's last SELECT is returned as `result`, at most 20 rows of it. CONTINUE while it runs.

        The table that it writes, `destination.table`, is created from its schema file first.
        """
        options = settings(ProcedureSettings, step_config)
        tables = [table_of(step_config)] if step_config.get("destination") else []
        if PUBLISHED in tables:  # procedures of earlier releases publish at once, and create the candidates themselves
            tables.append(CANDIDATES)
        for table in (*tables, *options.tables):
            await context.warehouse.ensure_table(table)
        procedure = options.procedure if isinstance(options.procedure, str) else options.procedure.name
        name = procedure.strip("`").rpartition(".")[2].strip("`")
        try:
            given = arguments(options.parameters, options.params)
            answer = await context.warehouse.call(name, given, wait_s=WAIT_S, repeatable=options.repeatable)
        except StillRunning as job:
            context.logger.info("%s; the step will return to it", job)
            return {"status": CONTINUE, "checkpoint": context.checkpoint}
        return {
            "status": SUCCESS,
            "procedure": name,
            "rows_processed": answer.rows_affected,
            "rows_written": answer.rows_affected,
            **({} if answer.bytes_processed is None else {"bytes_processed": answer.bytes_processed}),
            "result": [{column: _json(value) for column, value in row.items()} for row in answer.rows[:ROWS_SHOWN_MAX]],
        }


def _json(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool | list | dict) else str(value)


def get_engine() -> ProcedureProcessor:
    """Return the processor."""
    return ProcedureProcessor()
