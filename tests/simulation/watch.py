"""What must hold at every moment of a world: moves of documents, owners, plans, deadlines."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from convergence.domain.status import RUN_TERMINAL
from convergence.domain.times import to_text
from convergence.engine.step.lease import Lease
from convergence.ports.bus import Message
from convergence.ports.processor import Context
from tests.simulation.faults import Process
from tests.simulation.other_clients import MessageClient
from tests.simulation.pipelines import EDITIONS, pipeline, shape_of

if TYPE_CHECKING:
    from tests.simulation.world import World


class Watch:
    """Looks at every commit, execution, write and acknowledged request, and remembers what the end is judged by."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.skew_s = world.odds.clock_skew_s
        self.failures: defaultdict[str, list[str]] = defaultdict(list)  # final ones, by run; of the run itself: _run
        self.unfinished_at: dict[tuple[str, str], tuple[int, int]] = {}  # epoch and epoch of its plan, by run and step
        self._executions: dict[tuple[str, str], list[tuple[Process, Lease]]] = {}
        self._leases: dict[asyncio.Task[Any] | None, Lease] = {}  # by the task that executes

    def check_move(self, path: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        kind = path.split("/")
        if new is None or kind[0] != "runs":
            return
        if len(kind) == 2:
            self._check_run(path, old, new)
        elif kind[2] == "steps":
            self._check_step(path, old, new, self._config(kind[1], new))
            if new["status"] == "failed" and (old is None or old["status"] != "failed") and "~" not in path:
                self.failures[kind[1]].append(new["step_id"])

    def _check_run(self, path: str, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        if old is None:
            return
        if old["status"] in RUN_TERMINAL and new["status"] != old["status"] and new["epoch"] != old["epoch"] + 1:
            raise self._world.violated(f"{path}: {old['status']} became {new['status']} without a replay")
        if new["epoch"] > old["epoch"]:
            self._note_replay(new)
        if old["status"] == "running" and (new["error"] or {}).get("code") == "run.timeout":
            self._check_timeout(path, old)
            self.failures[new["run_id"]].append("_run")

    def _check_step(
        self, path: str, old: dict[str, Any] | None, new: dict[str, Any], config: Mapping[str, Any]
    ) -> None:
        crashed = (new["error"] or {}).get("code") == "step.crashed_often"
        if crashed and new["epoch"] >= config.get("poison_epochs", 0):
            raise self._world.violated(f"{path}: a healthy step failed, {new['error']['message']}")
        if old is not None and old["status"] in ("completed", "skipped") and new["status"] != old["status"]:
            raise self._world.violated(f"{path}: {old['status']} became {new['status']}")
        patience = max(config.get("late_epochs", 0), config.get("stalled_epochs", 0))
        if new["status"] == "completed" and new["epoch"] < patience:
            raise self._world.violated(f"{path}: completed in epoch {new['epoch']}, in which it takes too long")

    def _check_timeout(self, path: str, run: Mapping[str, Any]) -> None:
        """A run is timed out after its deadline only, and only one whose deadline is near."""
        if pipeline(shape_of(run["pipeline"])).pipeline.timeout_s > 90 * 60:
            raise self._world.violated(f"{path}: ten hours were not enough")
        if run["deadline_at"] > to_text(self._world.clock.now() + timedelta(seconds=self.skew_s)):
            raise self._world.violated(f"{path}: timed out before its deadline {run['deadline_at']}")

    def _config(self, run_id: str, step: Mapping[str, Any]) -> Mapping[str, Any]:
        newest = pipeline(shape_of(self._world.state[f"runs/{run_id}"]["pipeline"]), EDITIONS - 1)
        return next(spec.config for spec in newest.pipeline.steps if spec.step_id == step["step_id"])

    def edition_of(self, run_id: str, plan_epoch: int) -> int:
        """Return the edition of the pipeline that a plan was made of."""
        return int(self._world.state[f"runs/{run_id}/plan/{plan_epoch}"]["steps"][0]["config"]["config"]["edition"])

    def check_answered(self, message: Message) -> None:
        """A request by message that was acknowledged has become a run, or a dead letter with the reason."""
        state = self._world.state
        asking = (client for client in self._world.clients if isinstance(client, MessageClient))
        asked = next(client for client in asking if client.message == message)
        kept = base64.b64encode(message.data).decode()
        letters = (data for path, data in state.items() if path.startswith("dead_letters/message."))
        if f"runs/{asked.wanted_id}" not in state and all(data["data"] != kept for data in letters):
            raise self._world.violated(f"a request for {asked.wanted_id} was acknowledged, and nothing came of it")

    def check_owner(self, process: Process) -> None:
        """What is written to the warehouse is sent by the owner of the step."""
        lease = self._leases.get(asyncio.current_task())
        until = None if lease is None else lease.held.step.lease_until
        if lease is None or lease.stopped is not None or until is None or until <= process.clock.now():
            raise self._world.violated(f"{process.name} writes with a lease that is over: {until}")

    def _note_replay(self, run: dict[str, Any]) -> None:
        plan = self._world.state[f"runs/{run['run_id']}/plan/{run['plan_epoch']}"]
        for step in plan["steps"]:
            status = self._world.state.get(f"runs/{run['run_id']}/steps/{step['step_id']}", {}).get("status")
            if status not in ("completed", "skipped"):
                self.unfinished_at[run["run_id"], step["step_id"]] = run["epoch"], run["plan_epoch"]

    @contextlib.contextmanager
    def executing(self, process: Process, context: Context, config: Mapping[str, Any]) -> Iterator[None]:
        """Watch one execution: dependencies done, no other live owner, none beside one that is to be alone."""
        run_id, step_id = context.run_id, context.step_id
        run = self._world.state[f"runs/{run_id}"]
        planned = self._world.state[f"runs/{run_id}/plan/{run['plan_epoch']}"]["steps"]
        spec = next(step for step in planned if step["step_id"] == step_id)
        if context["epoch"] == run["epoch"] and config["edition"] != spec["config"]["config"]["edition"]:
            raise self._world.violated(f"{run_id}/{step_id}: not the step of the plan in force")
        for name in spec.get("depends_on", ()):
            status = self._world.state.get(f"runs/{run_id}/steps/{name}", {}).get("status")
            if status not in ("completed", "skipped"):
                raise self._world.violated(f"{run_id}/{step_id} started while {name} is {status}")
        key = (run_id, step_id if "trigger" not in spec else f"{step_id}~{context['epoch']}")
        others = self._executions.setdefault(key, [])
        own_lease = process.services.cache.leases[key]
        assert isinstance(own_lease, Lease)
        mine = (process, own_lease)
        latest = self._world.clock.now() + timedelta(seconds=self.skew_s)  # by the clock that is furthest ahead
        owns = mine[1].held.step.leased(latest)  # one that froze after its claim finds out at its next write
        for other, lease in others:
            if owns and not other.dead and lease.stopped is None and lease.held.step.leased(latest):
                raise self._world.violated(f"{key}: {process.name} started while {other.name} still owns it")
        beside = [lease for entries in self._executions.values() for other, lease in entries if other is process]
        if beside and any(lease.held.step.lease_isolated for lease in (mine[1], *beside)):
            raise self._world.violated(f"{key}: not alone in {process.name}")
        others.append(mine)
        task = asyncio.current_task()
        self._leases[task] = own_lease
        try:
            yield
        finally:
            others.remove(mine)
            del self._leases[task]
