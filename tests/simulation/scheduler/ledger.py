"""What became of each firing, run, place and slice: kept beside the engine, from its commits alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from convergence.domain.queue import pause_of, queue_path
from convergence.domain.status import RUN_TERMINAL
from convergence.domain.times import from_text, to_text

if TYPE_CHECKING:
    from tests.simulation.scheduler.world import SchedulerWorld

Data = dict[str, Any]
State = Mapping[str, Data]
PASS_MAX_S: Final = 60.0  # an admission pass looks at the time every 10 s, and may have slow calls then
_FIRST: Final = re.compile(r"firings from (\S+):")
_FINAL: Final = {"d": "completed", "f": "failed", "x": "cancelled"}


def instants(cron: str, first: datetime, last: datetime) -> list[datetime]:
    """Return the instants of `*/n * * * *` or `m * * * *`, both ends included."""
    text = cron.split(maxsplit=1)[0]
    at, found = first.replace(second=0, microsecond=0), []
    while at <= last:
        matches = at.minute % int(text[2:]) == 0 if text.startswith("*/") else at.minute == int(text)
        if matches and at >= first:
            found.append(at)
        at += timedelta(minutes=1)
    return found


class Ledger:
    """Knows the documents only; `quiet` are schedules and backfills whose users have been told that they rest."""

    def __init__(self, world: SchedulerWorld) -> None:
        self._world = world
        self.quiet: set[str] = set()
        self.paused: set[tuple[str, str]] = set()  # (org, pipeline) whose users have been told that none starts
        self.resting: dict[str, datetime] = {}  # until when a schedule fires nothing, as its user was told
        self.runs: dict[str, Data] = {}  # those that have not ended
        self._decided: dict[tuple[str, datetime], str] = {}
        self._edits: dict[str, tuple[datetime, datetime]] = {}  # by schedule: a slot that an edit kept, and the edit
        self._slices: set[str] = set()
        self._followed: set[str] = set()  # runs that another one came after
        self._waiting_since: dict[str, float] = {}  # by org, with one run or another

    def note(self, before: Mapping[str, Data | None], state: State) -> str | None:
        """Check what a commit did; `before` is what it wrote as it was. Return what is wrong, or None."""
        paths = sorted(before, key=lambda path: not path.startswith("runs/"))  # a schedule's runs before itself
        for path in paths:
            old, new = before[path], state.get(path)
            kind, _, rest = path.partition("/")
            wrong = None
            if new is None:
                continue
            if kind == "runs" and "/" not in rest:
                wrong = self._run(old, new, state, before)
            elif kind == "schedules" and old is not None:
                wrong = self._schedule(old, new)
            elif kind == "org_queues" and new.get("ready") and "next_check_at" in new:
                wrong = f"{path} is ready, and each look at the queues that are due would find it again"
            if wrong is not None:
                return wrong
        return self._over_a_limit()

    def _run(self, old: Data | None, new: Data, state: State, before: Mapping[str, Data | None]) -> str | None:
        run_id = new["run_id"]
        if new["status"] in RUN_TERMINAL:
            self.runs.pop(run_id, None)
        else:
            self.runs[run_id] = new
        now = self._world.loop.now_s
        waiting = {run["org"] for run in self.runs.values() if run["status"] == "queued"}
        self._waiting_since = {org: self._waiting_since.get(org, now) for org in waiting}
        if old is None and (wrong := self._created(new, state)):
            return wrong
        was = "queued" if old is None else old["status"]  # a caller's run is created running
        if was != "queued" or new["status"] != "running":
            return None
        if old is not None and (wrong := self._out_of_turn(new["org"], before.get(queue_path(new["org"])))):
            return wrong
        if (new["org"], new["pipeline"]) in self.paused:
            return f"{run_id} started after an acknowledged pause of {new['pipeline']} for {new['org']}"
        self._world.execute(run_id)
        return None

    def _out_of_turn(self, org: str, queue: Data | None) -> str | None:
        """Tell who could have run instead of an org that has just been admitted; `queue` is its own as it was.

        A pass compares start tags that it has read, and each only grows: when the admission is committed, a waiting
        org's is at least what it was compared with, and the admitted one's is exact, because the commit depends on it.
        So none that waits has a smaller start, however many passes there are. Both are at least the virtual time. An
        org that queued after a pass had asked who is ready is not seen by that pass: it counts when the pass has ended.
        """
        if not self._world.setting.fair:
            return None
        state, now = self._world.state, self._world.loop.now_s
        began = 0.0 if queue is None else queue["virtual_start"]
        time = state.get("admission/clock", {}).get("virtual_time", 0.0)
        for each, since in self._waiting_since.items():
            start = max(time, state[queue_path(each)]["virtual_start"])
            if each != org and began > start and now - since > PASS_MAX_S:
                return f"{org} was admitted at {began:.3f}, before {each}, which waits at {start:.3f}"
        return None

    def _created(self, run: Data, state: State) -> str | None:
        if run.get("parent_run"):
            return self._follows(run["parent_run"], state)
        schedule, backfill = run.get("schedule_id", ""), run.get("backfill_id", "")
        if run["status"] != "skipped" and {schedule, backfill} & self.quiet:
            return f"{run['run_id']} was created after an acknowledged pause"
        if (
            run["status"] != "skipped"
            and schedule in self.resting
            and run["fire_time"] < to_text(self.resting[schedule])
        ):
            return f"{run['run_id']} was created although its schedule is paused until {self.resting[schedule]}"
        if schedule:
            return self._decide(run, state[f"schedules/{schedule}"])
        if backfill:
            if run["request_digest"] in self._slices:
                return f"a second run of slice {run['request_digest']}"
            self._slices.add(run["request_digest"])
        return None

    def _follows(self, parent: str, state: State) -> str | None:
        if parent in self._followed:
            return f"two runs came after {parent}"
        self._followed.add(parent)
        status = state[f"runs/{parent}"]["status"]
        return None if status == "completed" else f"a run came after {parent}, which is {status}"

    def _decide(self, run: Data, schedule: Data) -> str | None:
        last = from_text(run["fire_time"])
        found = _FIRST.search(run["transitions"][-1][2]) if run["status"] == "skipped" else None
        first = last if found is None else from_text(found[1])
        closed = [(each["start"], each["end"]) for each in schedule["timing"]["blackouts"]]
        if run["status"] != "skipped" and any(start <= run["fire_time"] < end for start, end in closed):
            return f"{run['run_id']} is for {last}, in a blackout"
        kept, edited = self._edits.get(schedule["schedule_id"], (last, last))
        if kept < last <= edited:
            return f"{run['run_id']} is for {last}, by times that count since {edited}"
        within = instants(schedule["timing"]["cron"], first, last)
        for at in {first, *(each for each in within if not kept < each <= edited), last}:
            key = schedule["schedule_id"], at
            if key in self._decided:
                return f"{key} was {self._decided[key]}, and is {run['status']} in {run['run_id']} too"
            self._decided[key] = run["status"]
        return None

    def _schedule(self, old: Data, new: Data) -> str | None:
        """Every instant that a schedule leaves behind has a run or a skip."""
        if new["state"] == "stopped":
            return f"{new['schedule_id']} was stopped: {new['reason']}"
        if "slot" not in old:
            return None
        first, until = from_text(old["slot"]), from_text(new["updated_at"])
        kept, edited = self._edits.get(new["schedule_id"], (until, until))
        end = old["timing"]["end"]
        come = instants(old["timing"]["cron"], first, until if end is None else min(until, from_text(end)))
        come = [at for at in come if not kept < at <= edited]
        for at in come:
            left = "slot" not in new or at < from_text(new["slot"])
            if left and (new["schedule_id"], at) not in self._decided:
                return f"{new['schedule_id']}: the firing of {at} has neither a run nor a skip"
        if new["timing"] != old["timing"] and new.get("slot") == old["slot"] and not [at for at in come if at > first]:
            self._edits[new["schedule_id"]] = first, until
        return None

    def _going(self) -> list[Data]:
        """Return the runs that hold places: past its deadline a run only waits for the reconciler."""
        now = to_text(self._world.clock.now())
        return [run for run in self.runs.values() if run["status"] == "running" and run["deadline_at"] > now]

    def _over_a_limit(self) -> str | None:
        going, world = self._going(), self._world
        for org in {run["org"] for run in going}:
            if sum(run["org"] == org for run in going) > world.limits.concurrent:
                return f"{org} has more than {world.limits.concurrent} runs"
        if world.runs_max is not None and len(going) > world.runs_max:
            return f"{len(going)} runs, {world.runs_max} allowed in all"
        if world.provider_max is not None and sum(run["provider"] == "p" for run in going) > world.provider_max:
            return f"more than {world.provider_max} runs of provider p"
        return None

    def waits_with_room(self) -> str:
        """Return a run that is queued although nothing is in its way, or nothing."""
        going, world = [run for run in self.runs.values() if run["status"] == "running"], self._world
        if world.runs_max is not None and len(going) >= world.runs_max:
            return ""
        full = world.provider_max is not None and sum(run["provider"] == "p" for run in going) >= world.provider_max
        for run_id, run in self.runs.items():
            room = sum(each["org"] == run["org"] for each in going) < world.limits.concurrent
            held = (run.get("queue") or {}).get("held_after", "")
            for_pause = held == pause_of(run["org"], run["pipeline"])  # it looks again within ten minutes
            waits = run["status"] == "queued" and held not in self.runs and not for_pause
            if waits and room and not (full and run["provider"] == "p"):
                return run_id
        return ""

    def unfinished(self) -> list[str]:
        """Return the runs that have not ended, the schedules with something due, and the backfills under way."""
        state, now = self._world.state, to_text(self._world.clock.now())
        due = [path for path, data in state.items() if path.startswith("schedules/") and data.get("slot", "~") <= now]
        fed = [path for path, data in state.items() if path.startswith("backfills/") and data.get("next_check_at")]
        return [*self.runs, *due, *fed]

    def wrong_at_the_end(self) -> str | None:
        """Return what is left although all is over."""
        for path, data in self._world.state.items():
            if path.startswith("caps/") and data["held"]:
                return f"{path} still holds {data['held']}"
            if path.endswith("/usage/current") and data["active"]:
                return f"{path} still has {data['active']}"
            if path.startswith("backfills/") and (wrong := self._backfill(data)):
                return wrong
            if path.startswith("runs/") and path.count("/") == 1 and (wrong := self._unfollowed(data)):
                return wrong
        return None

    def _unfollowed(self, run: Data) -> str | None:
        """Every run that completed has the one that its pipeline's `then` lists."""
        listed = run["pipeline"] == self._world.chained and run["status"] == "completed"
        return f"no run came after {run['run_id']}" if listed and run["run_id"] not in self._followed else None

    def _backfill(self, backfill: Data) -> str | None:
        """Every slice that counts as run has a run that ended so."""
        ended = {
            data["request_digest"]: data["status"]
            for path, data in self._world.state.items()
            if path.startswith("runs/") and path.count("/") == 1 and data.get("backfill_id") == backfill["backfill_id"]
        }
        for index, state in enumerate(backfill["states"]):
            was = ended.get(f"{backfill['backfill_id']}@{index}")
            if _FINAL.get(state) != was:
                return f"slice {index} of {backfill['backfill_id']} is {state!r}, its run {was}"
        return None
