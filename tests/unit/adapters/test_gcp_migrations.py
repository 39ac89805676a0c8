"""A migration that two deployments run at the same time: both saw it pending, one job runs it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from convergence.adapters.gcp.warehouse.ledger import Ledger
from convergence.errors import StepFailed
from convergence.ports.warehouse import Routine
from tests.unit.adapters.bigquery_recorder import recording, with_warehouse

TEXT = "UPDATE prices SET price = price * 2 WHERE TRUE;"
SCRIPT = Routine("001_twice", "d1", "migrations/001_twice.sql", TEXT)


async def migrate(warehouse: BigQueryWarehouse) -> list[str]:
    return await warehouse.migrate([SCRIPT], dataset="acme_prod")


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[dict[str, str]]], None]:
    """Let the list of migrations be read as these, one after the other."""

    def reads(answers: list[dict[str, str]]) -> None:
        async def migrated(_: Ledger, dataset: str) -> dict[str, str]:
            return answers.pop(0)

        monkeypatch.setattr(Ledger, "migrated", migrated)

    return reads


def test_the_second_waits_for_the_job_of_the_first(listed: Callable[[list[dict[str, str]]], None]) -> None:
    with recording() as (recorder, address):
        listed([{}, {}, {"001_twice": "d1"}])
        assert with_warehouse(address, migrate) == ["001_twice"]
        assert with_warehouse(address, migrate) == ["001_twice"]
        (job,) = recorder.jobs
        assert job.startswith("migration_")


def test_one_that_ran_and_is_not_listed_any_more_is_not_called_done(
    listed: Callable[[list[dict[str, str]]], None],
) -> None:
    with recording() as (recorder, address):
        listed([{}, {}, {}])
        with_warehouse(address, migrate)
        with pytest.raises(StepFailed, match=r"001_twice.sql: job migration_\w+ has run it in acme_prod"):
            with_warehouse(address, migrate)
        assert len(recorder.jobs) == 1


def test_a_dataset_whose_list_was_made_anew_runs_its_scripts_again(
    listed: Callable[[list[dict[str, str]]], None],
) -> None:
    with recording() as (recorder, address):
        listed([{}, {}])
        with_warehouse(address, migrate)
        (made,) = (each for path, each in recorder.resources.items() if "_convergence_migrations_acme_prod" in path)
        made["creationTime"] = "1772323200000"
        with_warehouse(address, migrate)
        assert len(recorder.jobs) == 2
