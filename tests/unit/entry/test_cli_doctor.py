"""`convergence doctor`: every fault is found, and has its cure."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from convergence.domain.times import to_text
from convergence.engine.doctor import examine
from convergence.engine.services import dataset_of
from convergence.errors import Denied
from convergence.ports.documents import Create
from convergence.tenants.orgs import OrgStore
from tests.simulation.partial_warehouse import PartialWarehouse
from tests.unit.engine.conftest import Engine
from tests.unit.entry.conftest import Cli

PARTS = ["store", "keyring", "procedures", "migrations", "schemas", "schedules", "reconciler", "retention", "org files"]


def test_what_a_new_installation_lacks_is_said_with_the_command_that_adds_it(acme: Cli, configs: Path) -> None:
    first = acme("doctor", "--json")
    assert (first.code, [each["check"] for each in first.data["findings"]]) == (1, PARTS)
    cures = {each["check"]: each["cure"] for each in first.data["findings"] if each["cure"]}
    assert cures == {"procedures": "convergence procedures sync"}
    assert "procedures: convergence procedures sync" in acme("doctor").err
    acme("procedures", "sync")
    assert acme("run", "acme", "example/hello", "--wait").code == 0
    well = acme("doctor")
    assert (well.code, well.err) == (0, ""), well
    (configs / "system" / "migrations").mkdir()
    (configs / "system" / "migrations" / "001.sql").write_text("CREATE TABLE notes (text STRING);")
    log = configs / "system" / "schemas" / "org_meta_pipeline_runs.json"
    changed = json.loads(log.read_text())
    changed["fields"].append({"name": "cost_centre", "type": "STRING", "mode": "NULLABLE"})
    log.write_text(json.dumps(changed))
    behind = {each["check"]: each["cure"] for each in acme("doctor", "--json").data["findings"] if each["cure"]}
    assert behind == {"migrations": "convergence migrate", "schemas": "convergence schemas sync"}
    for command in behind.values():
        assert acme(*command.split()[1:]).code == 0
    assert acme("doctor").code == 0


def test_files_of_an_org_that_does_not_exist_are_warned_of(acme: Cli, configs: Path) -> None:
    rules = "allocation: [{name: one, team: All}]"
    for name in (
        "allocation/acme.yml",
        "allocation/acmee.yaml",
        "notifications/config.json",
        "notifications/gone.json",
    ):
        (configs / name).parent.mkdir(exist_ok=True)
        (configs / name).write_text(rules if name.startswith("allocation") else "{}")
    acme("procedures", "sync")
    done = acme("doctor", "--json")
    assert (done.code, done.data["healthy"]) == (0, True), done.data
    (warned,) = [each for each in done.data["findings"] if each["warning"]]
    assert warned["check"] == "org files"
    assert warned["found"].endswith("does not exist: allocation/acmee.yaml, notifications/gone.json")
    assert warned["cure"].endswith("Did you mean 'acme'?")
    shown = acme("doctor")
    assert "warning" in shown.out
    assert "org files: give the file the org's slug" in shown.err


def test_work_that_no_tick_takes_and_a_key_that_does_not_open_are_faults(tmp_path: Path) -> None:
    engine = Engine(tmp_path)

    class Locked:
        async def encrypt(self, plaintext: bytes, aad: str) -> str:
            raise Denied("the key's version is disabled")

        async def decrypt(self, ciphertext: str, aad: str) -> bytes:
            raise AssertionError

        def version(self, ciphertext: str) -> str:
            raise AssertionError

        async def stale(self, ciphertext: str) -> bool:
            raise AssertionError

    async def scenario() -> None:
        late = to_text(engine.services.clock.now() - timedelta(minutes=11))
        expired = to_text(engine.services.clock.now() - timedelta(days=2, seconds=1))
        await engine.services.documents.commit(
            [
                Create("schedules/s1", {"due_at": late}),
                Create("runs/r1", {"check_at": late, "org": "acme"}),
                Create("runs/r2", {"expire_at": expired, "org": "acme"}),
            ]
        )
        found = {
            each.check: each
            for each in await examine(replace(engine.services, keyring=Locked()), PARTS[:2] + PARTS[-4:-1])
        }
        assert "version is disabled" in found["keyring"].found
        assert "runbooks" in found["keyring"].cure
        assert "s1" in found["schedules"].found
        assert "r1" in found["reconciler"].found
        assert "r2" in found["retention"].found
        assert "convergence-tick" in found["schedules"].cure == found["reconciler"].cure == found["retention"].cure

    engine.run_scenario(scenario)


@pytest.mark.parametrize(("orgs", "said"), [(3, "match their files"), (60, "match their files in 25 of 60 orgs")])
def test_of_many_orgs_a_few_are_looked_at_the_first_and_the_last_among_them(
    tmp_path: Path, orgs: int, said: str
) -> None:
    engine = Engine(tmp_path)
    looked: list[str] = []

    class Tables(PartialWarehouse):
        async def column_names(self, dataset: str) -> dict[str, tuple[str, ...]]:
            looked.append(dataset)
            return {}

    class Slugs:
        async def slugs(self) -> list[str]:
            return [f"org{number:02}" for number in range(orgs)]

    services = replace(engine.services, warehouse=Tables(), orgs=cast("OrgStore", Slugs()))

    async def scenario() -> None:
        (found,) = await examine(services, ["schemas"])
        assert (found.found, found.cure) == (said, "")
        assert len(looked) == 1 + min(orgs, 25)  # the shared dataset, and each org's once
        assert {dataset_of(services, "org00"), dataset_of(services, f"org{orgs - 1:02}")} <= set(looked)

    engine.run_scenario(scenario)
