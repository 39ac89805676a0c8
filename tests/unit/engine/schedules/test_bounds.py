"""How many schedules an org may have, and how large their parameters may be."""

from __future__ import annotations

import pytest

from convergence.domain.records import changed
from convergence.domain.schedule import ScheduleState
from convergence.engine.schedules import edit
from convergence.errors import InvalidInput
from tests.unit.engine.conftest import Engine
from tests.unit.engine.schedules.schedules import add, stored
from tests.unit.engine.works import one


def test_an_org_has_so_many_schedules_and_no_more_also_when_it_deletes_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convergence.engine.schedules.edit._SCHEDULES_MAX", 3)
    engine.pipeline(one())

    async def scenario() -> None:
        await engine.org("globex")
        made = [await add(engine, name=f"n{number}") for number in range(3)]
        await edit.delete(engine.services, "acme", made[0].schedule_id)
        with pytest.raises(InvalidInput, match="acme has 3 schedules"):
            await add(engine, name="n4")
        assert (await add(engine, name="n0")).schedule_id == made[0].schedule_id
        assert (await add(engine, org="globex", name="n4")).state is ScheduleState.ENABLED

    engine.run_scenario(scenario)


def test_parameters_of_a_schedule_are_bounded(engine: Engine) -> None:
    engine.pipeline(one() + "\nparameters: {note: {type: string, default: ''}}")

    async def scenario() -> None:
        schedule = await add(engine)

        async def note(length: int) -> None:
            given = {"note": "x" * length}
            await edit.edit_schedule(
                engine.services, "acme", schedule.schedule_id, lambda each: changed(each, parameters=given)
            )

        await note(16_000)
        with pytest.raises(InvalidInput, match="at most 16384 bytes"):
            await note(17_000)
        assert len((await stored(engine, schedule)).parameters["note"]) == 16_000

    engine.run_scenario(scenario)
