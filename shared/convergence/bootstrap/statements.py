"""The check of SQL that `validate`, `plan`, dry runs and dispatch share, paid once for each version of a file.

DuckDB resolves names over empty tables, so only an installation whose warehouse is DuckDB uses it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from convergence.config.files.procedures import FOLDER as PROCEDURES
from convergence.config.loader import LoadedPipeline
from convergence.config.sources import SchemaSource
from convergence.engine.services import Judged

FILES_MAX = 5000  # files whose result is cached


class StatementChecks:
    """Checks the SQL of pipelines against the tables that `schemas` describes. See `Services.statements`."""

    def __init__(self, project: str, schemas: SchemaSource, configs_dir: Path) -> None:
        self._project, self._schemas, self._configs_dir = project, schemas, configs_dir
        self._known: dict[tuple[str, str, float], Judged] = {}
        self._turn = asyncio.Lock()

    async def __call__(self, loaded: LoadedPipeline) -> Judged:
        """Return mistakes and warnings. The first check of a file's version takes 20 ms to 1 s."""
        key = (loaded.path, loaded.digest, self._procedures(loaded))
        known = self._known.get(key)
        if known is not None:
            return known
        async with self._turn:  # many runs of a new file at once share one check
            if key not in self._known:
                judged = await asyncio.to_thread(self._judge, loaded)
                if len(self._known) >= FILES_MAX:
                    self._known.clear()
                self._known[key] = judged
            return self._known[key]

    def _procedures(self, loaded: LoadedPipeline) -> float:
        """Return when a procedure changed last, if the file calls any: they call each other."""
        from convergence.config.checks.calls import CALLS

        if all(step.ps_type != CALLS for step in loaded.pipeline.steps):
            return 0.0
        return max((file.stat().st_mtime for file in (self._configs_dir / PROCEDURES).rglob("*.sql")), default=0.0)

    def _judge(self, loaded: LoadedPipeline) -> Judged:
        from convergence.config.checks.calls import CALLS
        from convergence.config.checks.step_sql import runs_sql

        if not any(runs_sql(step.ps_type) or step.ps_type == CALLS for step in loaded.pipeline.steps):
            return Judged()
        from convergence.adapters.local.warehouse.reader import DuckDbReader
        from convergence.config.checks.statements import check_statements
        from convergence.config.files.described_tables import DescribedTables

        reader = DuckDbReader(self._project, DescribedTables(self._configs_dir).get)
        try:
            problems, warnings = check_statements(loaded, reader, self._schemas, self._configs_dir)
        finally:
            reader.close()
        return Judged(tuple(problems), tuple(warnings))
