"""Who runs the installation: sets orgs up, changes their keys, suspends them, installs other pipelines and files."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from convergence.tenants.credentials import CredentialStore, credential_id_of
from convergence.tenants.orgs import Org, OrgStore
from tests.simulation.faults import Odds, Process
from tests.simulation.pipelines import EDITIONS
from tests.simulation.secret import SECRET

if TYPE_CHECKING:
    from convergence.ports.keyring import Keyring
    from tests.simulation.world import World


class Operator:
    """Works directly on the store, as if from a machine that never fails; remembers when it did what."""

    def __init__(self, world: World, keyring: Keyring) -> None:
        self._world = world
        self._orgs = OrgStore(world.documents)
        self._credentials = CredentialStore(world.documents, keyring, world.clock)
        self._keys: dict[str, list[tuple[float, str | None]]] = {org: [] for org in world.orgs}  # since when, which
        self.suspended_since: dict[str, float] = {}

    async def found_orgs(self) -> None:
        """Set up orgs, each with a key."""
        world = self._world
        for slug in world.orgs:
            org = Org(slug=slug, name=slug, status="ACTIVE", limits=world.limits, created_at=world.clock.now())
            await self._orgs.create(org)
            await self._store_key(slug)

    def begin(self, odds: Odds) -> None:
        """Start what happens in this world."""
        world = self._world
        for org in world.orgs:
            if world.rng.random() < odds.key_changed:
                world.spawn(self._change_keys(org))
            if world.rng.random() < odds.suspended:
                world.spawn(self._suspend(org))
        if world.rng.random() < odds.deployed:
            world.spawn(self._deploy())

    async def _change_keys(self, org: str) -> None:
        world = self._world
        while world.hostile:
            await world.clock.sleep(world.rng.uniform(60, 1200))
            if world.rng.random() < 0.5:
                self._keys[org].append((world.loop.now_s, None))
                await self._credentials.delete(org, "sim", credential_id_of(org, "sim", "default"))
                await world.clock.sleep(world.rng.uniform(5, 600))
            await self._store_key(org)

    async def _store_key(self, org: str) -> None:
        key = f"{SECRET}-{org}-{len(self._keys[org])}"
        self._keys[org].append((self._world.loop.now_s, key))
        await self._credentials.store(org, "sim", key, name="default")

    async def _suspend(self, org: str) -> None:
        world = self._world
        await world.clock.sleep(world.rng.uniform(0, 3000))
        await self._orgs.change(org, lambda org: replace(org, status="SUSPENDED"), token="suspended")
        self.suspended_since[org] = world.loop.now_s
        await world.clock.sleep(world.rng.uniform(60, 1500))
        del self.suspended_since[org]
        await self._orgs.change(org, lambda org: replace(org, status="ACTIVE"), token="active")

    async def _deploy(self) -> None:
        """Install the next edition: new machines have it at once, the others are replaced one by one."""
        world = self._world
        for edition in range(1, world.rng.randint(2, EDITIONS)):
            await world.clock.sleep(world.rng.uniform(50, 1500))
            world.edition = edition
            for old in world.processes:
                world.spawn(self._replace(old))

    async def _replace(self, old: Process) -> None:
        world = self._world
        await world.clock.sleep(world.rng.uniform(0, 600))
        while world.spares(old):
            await world.clock.sleep(30)
        world.kill(old)

    def check_key(self, org: str, key: str, since_s: float) -> None:
        """Fail unless `key` was the org's key at some moment since then."""
        times = [*self._keys[org], (float("inf"), None)]
        valid = {known for (_, known), (until_s, _) in pairwise(times) if until_s >= since_s}
        if key not in valid:
            raise self._world.violated(f"{org}: a step got a key that was replaced or removed before")
