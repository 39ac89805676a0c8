"""A client that wants a run: asks until accepted, sometimes cancels, replays what failed, checks what came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from convergence.domain.step import Applied
from convergence.engine.cancel import cancel
from convergence.engine.dispatch import RunRequest, dispatch
from convergence.engine.replay import replay, replay_dead_letter
from convergence.errors import ConvergenceError, InvalidInput, QuotaExceeded
from convergence.ports.warehouse import Row
from tests.simulation.faults import Killed
from tests.simulation.pipelines import pipeline
from tests.simulation.processor import expected_rows

if TYPE_CHECKING:
    from tests.simulation.world import World


class Client:
    """One request and what became of it."""

    def __init__(self, world: World, number: int, org: str, shape: int) -> None:
        self._world = world
        self._shape = shape
        self.org = org
        self.run_id = ""
        self.content = False
        self.over_month = False  # then it gives up instead of waiting for the next month
        self._opens_s = 0.0
        self._request = RunRequest(
            org=org,
            pipeline=f"sim/chaos/shape{shape}",
            parameters={"api_key": "sk-simulated-plaintext-0123456789"},
            idempotency_key=f"client-{number}",
        )
        cancels, after_s = world.rng.random() < world.odds.cancelled, world.odds.cancelled_after_max_s
        self._cancels_after_s = world.rng.uniform(0, after_s) if cancels else None
        self._comes_back = world.rng.random() < world.odds.comes_back
        self._edits = world.rng.random() < 0.5
        self._effects: dict[str, Applied] = {}  # about writes that took effect with other parameters, by step
        self._by_dead_letter = not self._edits and world.rng.random() < 0.7

    async def run_scenario(self) -> None:
        world = self._world
        await world.clock.sleep(0 if world.races else world.rng.uniform(0, 300))
        while not self.run_id:
            run = await self._ask(lambda services: dispatch(services, self._request))
            if run is not None:
                self.run_id = run.run_id
            elif self.over_month:
                self.content = True
                return
            else:
                await world.clock.sleep(self._opens_s + world.rng.uniform(0 if world.races else 5, 120))
        if self._cancels_after_s is not None:
            await world.clock.sleep(self._cancels_after_s)
            while await self._ask(lambda services: cancel(services, self.org, self.run_id)) is None:
                await world.clock.sleep(10)
            if not self._comes_back:
                self.content = True
                return
        while not self.content:
            await world.clock.sleep(world.rng.uniform(10, 120))
            status = self._document["status"]
            if status in ("failed", "cancelled"):
                await self._ask(self._replay)
            self.content = status == "completed"

    async def _replay(self, services: Any) -> Any:
        dead_letters = [path for path in self._world.state if path.startswith(f"dead_letters/{self.run_id}.")]
        newest = [path for path in dead_letters if path.endswith(f".{self._document['epoch']}")]
        if self._by_dead_letter and newest:
            return await replay_dead_letter(services, self.org, newest[0].removeprefix("dead_letters/"))
        edited = {"label": f"e{self._document['epoch'] + 1}"} if self._edits else None
        error = self._document["error"] or {}
        if error.get("code") == "step.applied_before":
            self._effects.setdefault(error["step_id"], self._world.rng.choice(list(Applied)))
        applied = {step_id: effect for step_id, effect in self._effects.items() if not self._is_done(step_id)}
        return await replay(services, self.org, self.run_id, parameters=edited, applied=applied)

    def _is_done(self, step_id: str) -> bool:
        step = self._world.state.get(f"runs/{self.run_id}/steps/{step_id}", {})
        return step.get("status") in ("completed", "skipped")

    async def _ask(self, call: Any) -> Any:
        """Return the answer, or None when there was none: no machine, a machine that died, a refusal to retry."""
        self._opens_s = 0.0
        process = self._world.any_process()
        if process is None:
            return None
        try:
            return await call(process.services)
        except Killed:
            return None
        except QuotaExceeded as error:
            self._world.quotas.refused[f"{str(error).split()[0]} {'replay' if self.run_id else 'run'}"] += 1
            self.over_month = not self.run_id and "Monthly" in str(error)
            self._opens_s = error.retry_after_s or 0.0
            return None
        except ConvergenceError as error:
            expected = not isinstance(error, InvalidInput) or any(
                word in str(error) for word in ("replayed", "is finished")
            )
            return None if expected else self._world.errors.append(error)

    @property
    def _document(self) -> dict[str, Any]:
        return self._world.state[f"runs/{self.run_id}"]

    # What must be true in the end

    def check(self) -> None:
        if self.over_month:
            return
        run = self._document
        if run["status"] == "completed":
            self._check_rows(run)
        else:
            ended = f"{self.run_id}: a healthy run ended as {run['status']}: {run['error']}"
            assert run["status"] == "cancelled" or self._may_fail(run), ended
        self._check_once()
        self._check_dead_letters()
        self._check_end_steps(run)

    def _may_fail(self, run: dict[str, Any]) -> bool:
        """A run whose client only wanted to cancel may have failed before, by a step that was told to, or by a fault at
        its only attempt."""
        return self._cancels_after_s is not None and run["error"]["code"] in (
            "step.failed",
            "step.crashed_often",
            "transient",
        )

    def _check_rows(self, run: dict[str, Any]) -> None:
        for step in pipeline(self._shape).pipeline.steps:
            document = self._world.state.get(f"runs/{self.run_id}/steps/{step.step_id}")
            if step.trigger is not None:
                continue
            assert document is not None, f"{self.run_id} completed without {step.step_id}"
            assert document["status"] in ("completed", "skipped"), f"{step.step_id} is {document['status']}"
            self._check_label(step.step_id, document)
            if "write" in step.config:
                self._check_added(step.step_id, step.config, document)
                continue
            found = self._rows(step.step_id)
            if document["status"] == "skipped" or document["error"] is not None:
                assert found is None, f"{step.step_id} left rows, but did nothing"
            else:
                wanted = expected_rows(step.config)
                assert found == wanted, f"{self.run_id}/{step.step_id}: rows {found}, faultless {wanted}"

    def _check_label(self, step_id: str, document: dict[str, Any]) -> None:
        """What was not done at a replay is done with the parameters of that replay, never with older ones."""
        label = (document["result"] or {}).get("label")
        oldest = self._world.unfinished_at.get((self.run_id, step_id), 0)
        if self._edits and label is not None:
            assert int(label[1:]) >= oldest, f"{step_id}: replayed in epoch {oldest}, ran with label {label}"

    def _check_added(self, step_id: str, config: Mapping[str, Any], document: dict[str, Any]) -> None:
        """Each row is there, and was made with the parameters of the epoch that completed the step, unless the client
        asked to keep what was there, or to write it again."""
        added, effect = self._added(step_id), self._effects.get(step_id)
        if document["status"] == "skipped" or document["error"] is not None:
            assert not added, f"{step_id} left rows, but did nothing"
            return
        assert {name for name, _ in added} == set(expected_rows(config)), f"{self.run_id}/{step_id}: rows {added}"
        if effect is None:
            label = document["result"]["label"]
            assert all(each == label for _, each in added), f"{self.run_id}/{step_id}: {added}, completed with {label}"
        if effect is not Applied.AGAIN:
            assert len(added) == len(expected_rows(config)), f"{self.run_id}/{step_id}: written twice: {added}"

    def _check_once(self) -> None:
        """Whatever became of the run: no write happened twice while its input stayed the same."""
        for step in pipeline(self._shape).pipeline.steps:
            added = self._added(step.step_id) if "write" in step.config else []
            assert len(added) == len(set(added)), f"{self.run_id}/{step.step_id}: written twice: {added}"

    def _added(self, step_id: str) -> list[tuple[str, str]]:
        return [(row["n"], row["label"]) for row in self._slice(step_id) or ()]

    def _rows(self, step_id: str) -> list[str] | None:
        rows = self._slice(step_id)
        return None if rows is None else [row["n"] for row in rows]

    def _slice(self, step_id: str) -> list[Row] | None:
        for key, rows in self._world.warehouse.slices.items():
            if key[1] == f"rows_{step_id}" and self.run_id in key[2]:
                assert key[0].startswith(self.org)
                return rows
        return None

    def _check_dead_letters(self) -> None:
        """One dead letter for each final failure, none for anything else."""
        failures = []
        for path, data in self._world.state.items():
            if path.startswith(f"runs/{self.run_id}/steps/") and "~" not in path:
                moves = [to for _, to, _ in data["transitions"]]
                failures += [f"{data['step_id']}"] * moves.count("failed")
        dead_letters = [
            path.split(".")[1] for path in self._world.state if path.startswith(f"dead_letters/{self.run_id}.")
        ]
        assert sorted(failures) == sorted(dead_letters), (
            f"{self.run_id}: failed {failures}, dead dead letters {dead_letters}"
        )

    def _check_end_steps(self, run: dict[str, Any]) -> None:
        wanted = {
            "completed": {"on_success", "on_completion"},
            "failed": {"on_failure", "on_completion"},
            "cancelled": {"on_completion"},
        }[run["status"]]
        for step in pipeline(self._shape).pipeline.steps:
            if step.trigger in wanted:
                document = self._world.state.get(f"runs/{self.run_id}/steps/{step.step_id}~{run['epoch']}")
                assert document is not None, f"handler {step.step_id} never ran"
                refused = (document["error"] or {}).get("code") == "transient"  # the warehouse, at its only attempt
                assert document["status"] == "completed" or refused, (
                    f"handler {step.step_id} is {document['status']}: {document['error']}"
                )
