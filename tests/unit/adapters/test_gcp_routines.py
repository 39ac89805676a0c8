"""The procedures that a sync stores: what the first request says, the ones after it say, too."""

from __future__ import annotations

from typing import Any

from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from convergence.ports.warehouse import Routine
from tests.unit.adapters.bigquery_recorder import Recorder, with_warehouse

TEXT = (
    "CREATE PROCEDURE organizations.sp_note(p_note STRING)\nBEGIN\n  INSERT INTO notes (note) VALUES ({value});\nEND;"
)


def routine(value: str) -> Routine:
    return Routine("sp_note", f"digest of {value}", "sp_note.sql", TEXT.replace("{value}", value))


def test_a_changed_procedure_is_stored_with_all_that_it_was_created_with(
    bigquery_server: tuple[Recorder, str],
) -> None:
    recorder, address = bigquery_server

    async def body(warehouse: BigQueryWarehouse) -> Any:
        await warehouse.sync_routines([routine("p_note")])
        await warehouse.sync_routines([routine("'none'")])

    with_warehouse(address, body)
    (first, _, created), (second, path, replaced) = [each for each in recorder.stored if "/routines" in each[1]][-2:]
    assert (first, second, path.rpartition("/")[2]) == ("POST", "PUT", "sp_note")
    assert created.keys() == replaced.keys()
    assert created["strictMode"] is replaced["strictMode"] is False
    assert "'none'" in replaced["definitionBody"]
