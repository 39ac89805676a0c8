"""Stored procedures: kept with the digest of their file, parsed once, refused when they cannot run."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING

from convergence.adapters.googlesql.procedures.text import procedure_name, with_project
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.named_sql import statement
from convergence.errors import ConfigError, ConfigErrors, NotFound, did_you_mean
from convergence.ports.warehouse import Routine

if TYPE_CHECKING:
    from convergence.adapters.googlesql.scripts.nodes import Procedure


class Routines:
    """All procedures of the database. `project` stands for `{project_id}` in their files."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._lock = Lock()
        self._parsed: dict[Routine, Procedure] = {}

    def sync(self, job: Job, routines: Sequence[Routine], *, force: bool) -> list[str]:
        """Store those whose digest changed, in one transaction; see the port."""
        known = {routine.name: routine.digest for routine in self.all(job)}
        changed = [routine for routine in routines if force or known.get(routine.name) != routine.digest]
        problems: list[ConfigError] = []
        for routine in changed:
            problems += self.problems(routine)
        if problems:
            raise ConfigErrors(problems)
        with job.transaction():
            for routine in changed:
                values = {"name": routine.name, "digest": routine.digest}
                values |= {"source": routine.source, "definition": routine.definition}
                job.execute(statement("routine_stored"), values)
        return [routine.name for routine in changed]

    def problems(self, routine: Routine) -> list[ConfigError]:
        """Return the parts of a routine that cannot run, each with its place in the file."""
        from convergence.adapters.local.duckdb_sql.check import check_procedure

        try:
            procedure = self.parsed(routine)
        except ConfigError as error:
            return [error]
        problems = check_procedure(procedure)
        if procedure.name != routine.name:
            message = f"the file defines {procedure.name!r}, but its name is {routine.name!r}: rename one of them"
            problems.append(ConfigError(message, where=routine.source))
        return problems

    def all(self, job: Job) -> list[Routine]:
        """Return all routines, by name."""
        return [Routine(*row) for row in job.execute(statement("routines")).fetchall()]

    def get(self, job: Job, name: str) -> Routine:
        """Return a routine. Raises `NotFound` with the nearest name."""
        row = job.execute(statement("routine"), {"name": name}).fetchone()
        if row is None:
            known = [routine.name for routine in self.all(job)]
            raise NotFound(f"No procedure is called {name!r}.{did_you_mean(name, known)}")
        return Routine(*row)

    def procedure(self, job: Job, path: str) -> Procedure:
        """Return the tree of the one that `path` names. Raises `NotFound`; `Denied` for one that is elsewhere."""
        return self.parsed(self.get(job, procedure_name(path, self._project)))

    def delete(self, job: Job, name: str) -> None:
        """Remove a routine. Raises `NotFound`."""
        self.get(job, name)
        job.execute(statement("routine_deleted"), {"name": name})

    def parsed(self, routine: Routine) -> Procedure:
        """Return the tree of a routine.

        Raises:
            ConfigError: a syntax error, or a placeholder other than {project_id}.
        """
        from convergence.adapters.googlesql.procedures.parser import parse_procedure

        with self._lock:
            if routine not in self._parsed:
                self._parsed[routine] = parse_procedure(self.with_project(routine), routine.source)
            return self._parsed[routine]

    def with_project(self, routine: Routine, dataset: str = "") -> str:
        """Return the text with the project in its place. Raises `ConfigError` for any other placeholder."""
        return with_project(routine, self._project, dataset)
