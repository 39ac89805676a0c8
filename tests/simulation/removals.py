"""What the engine is without one of its safeguards: each makes worlds break (test_safeguards.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import pytest

from convergence.domain.plan import Plan
from convergence.domain.quota import Usage
from convergence.domain.run import Run
from convergence.domain.step import Step
from convergence.engine import dispatch, dispatch_message, prepare_run, reconcile, replay
from convergence.engine.dispatch_message import DispatchMessage
from convergence.engine.fan_in import FanInTracker
from convergence.engine.services import ProcessCache, Services
from convergence.engine.step import inputs, run_step
from convergence.engine.step.delivery import StepDelivery
from convergence.engine.step.lease import Lease
from convergence.engine.store import StoredRun
from convergence.tenants.credentials import Credential, CredentialStore
from tests.simulation import client


def no_time_limit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(run_step, "time_limit", lambda *given: (1e9, "nothing"))


def no_time_of_earlier_slices(patch: pytest.MonkeyPatch) -> None:
    limit: Any = vars(run_step)["time_limit"]

    def forgetful(services: Services, stored: StoredRun, planned: Any, step: Step) -> tuple[float, str]:
        return limit(services, stored, planned, replace(step, elapsed_s=0.0))

    patch.setattr(run_step, "time_limit", forgetful)


def no_deadline(patch: pytest.MonkeyPatch) -> None:
    async def patient(*given: object) -> None:
        return

    patch.setattr(reconcile, "_time_out", patient)


def no_latest_file(patch: pytest.MonkeyPatch) -> None:
    async def pinned(*given: Any, latest: bool, **options: Any) -> Run:
        return await replay.replay(*given, **options)

    patch.setattr(client, "replay", pinned)


def no_plan_of_each_epoch(patch: pytest.MonkeyPatch) -> None:
    known = ProcessCache.plan

    def first(self: ProcessCache, run_id: str, epoch: int) -> Plan | None:
        return known(self, run_id, 0) or known(self, run_id, epoch)

    patch.setattr(ProcessCache, "plan", first)


def no_digest_of_files(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(inputs, "_files", lambda *given: ())


def no_fresh_credential(patch: pytest.MonkeyPatch) -> None:
    find, found = CredentialStore.find, WeakKeyDictionary[CredentialStore, dict[str, Credential]]()

    async def remembered(self: CredentialStore, org: str, provider: str, credential_id: str = "") -> Credential | None:
        known = found.setdefault(self, {})
        if org not in known:
            credential = await find(self, org, provider, credential_id)
            if credential is None:
                return None
            known[org] = credential
        return known[org]

    patch.setattr(CredentialStore, "find", remembered)


def no_once(patch: pytest.MonkeyPatch) -> None:
    async def again(*given: object) -> None:
        return

    patch.setattr(dispatch, "check_once", again)


def no_suspension(patch: pytest.MonkeyPatch) -> None:
    for module in (prepare_run, replay):
        patch.setattr(module, "check_runnable", lambda org: None)


def no_key_of_a_message(patch: pytest.MonkeyPatch) -> None:
    request = DispatchMessage.request
    patch.setattr(DispatchMessage, "request", lambda self: replace(request(self), idempotency_key=None))


def no_dead_letter_of_a_message(patch: pytest.MonkeyPatch) -> None:
    async def dropped(*given: object, **options: object) -> None:
        return

    patch.setattr(dispatch_message, "keep_unreadable", dropped)


def no_run_of_a_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(prepare_run, "_run_id", lambda services, *given: services.ids.new("run"))


def no_digest_of_a_request(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(prepare_run, "_digest", lambda *given: "0" * 32)


def no_lease_check_before_a_write(patch: pytest.MonkeyPatch) -> None:
    async def trusting(self: Lease) -> None:
        return

    patch.setattr(Lease, "check", trusting)


def no_day_of_a_clock_ahead(patch: pytest.MonkeyPatch) -> None:
    reserve = Usage.reserve

    def by_own_clock(self: Usage, *given: Any, now: Any, **asked: Any) -> Usage:
        ahead = self.day > now.strftime("%Y-%m-%d")
        return reserve(replace(self, day="", day_count=0) if ahead else self, *given, now=now, **asked)

    patch.setattr(Usage, "reserve", by_own_clock)


def no_look_beyond_64(patch: pytest.MonkeyPatch) -> None:
    complete = FanInTracker.complete

    async def short(self: FanInTracker, documents: Any, run: Any, child: str, siblings: Sequence[str], me: str) -> bool:
        return await complete(self, documents, run, child, siblings[:64], me)

    patch.setattr(FanInTracker, "complete", short)


def no_stages_of_early_slices(patch: pytest.MonkeyPatch) -> None:
    move = StepDelivery.move

    async def short(self: StepDelivery, *given: Any, **changes: Any) -> StepDelivery:
        if "stages" in changes:
            changes["stages"] = changes["stages"][-4:]
        return await move(self, *given, **changes)

    patch.setattr(StepDelivery, "move", short)
