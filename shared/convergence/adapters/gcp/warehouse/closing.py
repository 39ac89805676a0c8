"""Whether a write of an earlier epoch took effect; if it did not, its id is revoked, so that it never will."""

from __future__ import annotations

from convergence.adapters.gcp.warehouse.jobs import JobOptions, Jobs, fingerprint_of
from convergence.adapters.gcp.warehouse.ledger import UNCOUNTED, Ledger
from convergence.ports.warehouse import Effect, Scope


class Closing:
    """Closes jobs."""

    def __init__(self, jobs: Jobs, ledger: Ledger, options: JobOptions) -> None:
        self._jobs, self._ledger, self._options = jobs, ledger, options

    async def close(self, job_id: str, scope: Scope, wait_s: float | None) -> Effect | None:
        """Ask the job first, then the ledger: it knows of writes whose job BigQuery has forgotten, after six months,
        reported as failed, or ran in another project.
        """
        from google.cloud import bigquery

        options = await self._options.of(scope.lineage)
        config = bigquery.QueryJobConfig(**options.config)
        job = await self._jobs.close(job_id, config, project=options.project, wait_s=wait_s)
        marked = await self._ledger.find(scope.dataset, job_id)
        if marked is not None:
            rows = None if marked.loaded == UNCOUNTED else marked.loaded
            return Effect(marked.fingerprint, marked.at, rows, partial=marked.commits > 0)
        if job is None:
            return None
        statistics = job.dml_stats  # of a load, which also removes rows
        rows = job.num_dml_affected_rows if statistics is None else statistics.inserted_row_count
        return Effect(fingerprint_of(job), job.ended or self._jobs.client.clock.now(), rows)
