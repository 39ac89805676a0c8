"""Limits of orgs, counted a second time beside the engine and compared with its own count at each commit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from convergence.domain.quota import Limits
from convergence.domain.status import RUN_TERMINAL
from convergence.domain.times import to_text

State = Mapping[str, dict[str, Any] | None]


class Quotas:
    """Counts every run that a commit creates; knows nothing of how the engine counts."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._days: Counter[tuple[str, str]] = Counter()
        self._months: Counter[tuple[str, str]] = Counter()
        self._touched: set[str] = set()
        self._went_back: str | None = None  # a day whose count had begun
        self._going: defaultdict[str, set[str]] = defaultdict(set)
        self.refused: Counter[str] = Counter()  # by the first word of the limit, as clients saw it

    def note(self, before: State, state: State) -> None:
        """Count what a commit did; `before` holds what it wrote as it was, `state` everything as it is."""
        for path, old in before.items():
            new = state.get(path)
            if new is None:
                continue
            if path.endswith("/usage/current"):
                self._touched.add(path.split("/")[1])
                if old is not None and new["day"] < old["day"]:
                    self._went_back = f"{path}: counted for {old['day']}, then for {new['day']} again"
            elif path.startswith("runs/") and path.count("/") == 1:
                self._touched.add(new["org"])
                if new["status"] in RUN_TERMINAL:
                    self._going[new["org"]].discard(new["run_id"])
                else:
                    self._going[new["org"]].add(new["run_id"])
                if old is None:
                    usage = state[f"orgs/{new['org']}/usage/current"] or {}
                    self._days[new["org"], usage["day"]] += 1  # a machine may freeze over midnight between two calls
                    self._months[new["org"], usage["month"]] += 1

    def wrong(self, state: State, at: datetime) -> str | None:
        """Return what is wrong with an org that was written since the last look."""
        touched, self._touched = sorted(self._touched), set()
        if self._went_back is not None:
            return self._went_back
        return next((fault for org in touched if (fault := self._fault(org, state, at)) is not None), None)

    def reserved(self, state: State) -> dict[str, Any]:
        """Return the reservations that are left, by org."""
        usages = {path.split("/")[1]: data for path, data in state.items() if path.endswith("/usage/current") and data}
        return {org: usage["active"] for org, usage in usages.items() if usage["active"]}

    def _fault(self, org: str, state: State, at: datetime) -> str | None:
        usage = state.get(f"orgs/{org}/usage/current")
        if usage is None:
            return f"{org} has a run and no count of its runs"
        now, limits = to_text(at), self._limits
        held = {run_id for run_id, until in usage["active"].items() if until > now}
        # A run that is past its deadline only waits for the reconciler; its place is given away a lease later.
        going = {run_id for run_id in self._going[org] if _deadline(state, run_id) > now}
        held -= self._going[org] - going
        if going - held:
            return f"{org}: {sorted(going - held)} go on without a reservation"
        if held - going:
            return f"{org}: {sorted(held - going)} are reserved and do not go on"
        if len(going) > limits.concurrent:
            return f"{org}: {len(going)} runs at once, {limits.concurrent} allowed"
        created = self._days[org, usage["day"]], self._months[org, usage["month"]]
        if created != (usage["day_count"], usage["month_count"]):
            counted = (usage["day_count"], usage["month_count"])
            return f"{org}: created (day, month) {created}, counted {counted}"
        if created[0] > limits.daily or created[1] > limits.monthly:
            return f"{org}: created (day, month) {created}, allowed {(limits.daily, limits.monthly)}"
        return None


def _deadline(state: State, run_id: str) -> str:
    return str((state[f"runs/{run_id}"] or {})["deadline_at"])
