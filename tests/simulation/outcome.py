"""What must be true of a client's run in the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.domain.step import Applied
from convergence.ports.warehouse import Row
from tests.simulation.client import Client
from tests.simulation.pipelines import pipeline
from tests.simulation.processor import expected_rows

# How a run may end whose client only wanted to cancel: by a step that was told to fail, by a fault at an only attempt,
# by a deadline that is meant to be short, by a write that another edition of a file had made before.
FAILURES = ("step.failed", "step.crashed_often", "transient", "run.timeout", "step.applied_before")


def check_outcome(client: Client) -> None:
    """Check the run that a client got, if it got one of its own."""
    if client.run_id and client.judges:
        _Outcome(client).check()


class _Outcome:
    def __init__(self, client: Client) -> None:
        self._client, self._world = client, client.world
        self.run_id, self._run = client.run_id, client.document
        steps = pipeline(
            client.shape, self._world.watch.edition_of(client.run_id, self._run["plan_epoch"])
        ).pipeline.steps
        self._steps = [step for step in steps if step.trigger is None]
        self._end_steps = [step for step in steps if step.trigger is not None]

    def check(self) -> None:
        run = self._run
        if run["status"] == "completed":
            self._check_rows()
            self._check_mark()
        else:
            code = "" if run["error"] is None else run["error"]["code"]
            ended = f"{self.run_id}: a healthy run ended as {run['status']}: {run['error']}"
            assert self._client.cancels_after_s is not None, ended
            assert run["status"] == "cancelled" or code in FAILURES, ended
        self._check_once()
        self._check_dead_letters()
        self._check_end_steps()

    def _check_mark(self) -> None:
        """A pipeline that runs once has the mark of a run that completed it."""
        if self._run["run_once"]:
            mark = self._world.state.get(f"once/{self._run['org']}.{self._run['pipeline'].replace('/', '.')}")
            assert mark is not None, f"{self.run_id} completed what runs once, and left no mark"
            assert self._world.state[f"runs/{mark['run_id']}"]["status"] == "completed", f"{mark} did not complete it"

    def _check_rows(self) -> None:
        for step in self._steps:
            document = self._world.state.get(f"runs/{self.run_id}/steps/{step.step_id}")
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
        """What was not done at a replay is done with the parameters and the plan of that replay, never with older."""
        result = document["result"] or {}
        if "label" not in result:
            return
        label, edition, _ = result["label"].split("/")
        oldest, plan_epoch = self._world.watch.unfinished_at.get((self.run_id, step_id), (0, 0))
        if self._client.edits:
            assert int(label[1:]) >= oldest, f"{step_id}: replayed in epoch {oldest}, ran with label {label}"
        planned = self._world.watch.edition_of(self.run_id, plan_epoch)
        assert int(edition) == planned, f"{step_id}: planned in epoch {oldest} as edition {planned}, ran as {edition}"

    def _check_added(self, step_id: str, config: Mapping[str, Any], document: dict[str, Any]) -> None:
        """Each row is there, and was made with the parameters of the epoch that completed the step, unless the client
        asked to keep what was there, or to write it again."""
        added, effect = self._added(step_id), self._client.effects.get(step_id)
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
        for step in self._steps:
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
                assert key[0].startswith(self._client.org)
                return rows
        return None

    def _check_dead_letters(self) -> None:
        """One dead letter for each final failure, none for anything else."""
        failures = self._world.watch.failures[self.run_id]
        prefix = f"dead_letters/{self.run_id}."
        found = {path: data for path, data in self._world.state.items() if path.startswith(prefix)}
        dead_letters = [path.split(".")[1] for path in found]
        assert sorted(failures) == sorted(dead_letters), f"{self.run_id}: failed {failures}, dead {dead_letters}"
        for path, data in found.items():
            closed = data.get("closed") is not None
            assert closed == (self._run["status"] == "completed"), f"{path} is {'closed' if closed else 'open'}"

    def _check_end_steps(self) -> None:
        run = self._run
        wanted = {
            "completed": {"on_success", "on_completion"},
            "failed": {"on_failure", "on_completion"},
            "cancelled": {"on_completion"},
        }[run["status"]]
        for step in self._end_steps:
            if step.trigger in wanted:
                document = self._world.state.get(f"runs/{self.run_id}/steps/{step.step_id}~{run['epoch']}")
                assert document is not None, f"handler {step.step_id} never ran"
                refused = (document["error"] or {}).get("code") == "transient"  # the warehouse, at its only attempt
                assert document["status"] == "completed" or refused, (
                    f"handler {step.step_id} is {document['status']}: {document['error']}"
                )
