"""The figures of nights, and the table of docs/scale.md.

`make bench SHAPE=fleet > tests/bench/fleet/measured.json` measures all nights (about an hour on two cores);
`python -m tests.bench.fleet.report` prints the table of what was measured.
"""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

import orjson

from convergence.domain.run import Run
from tests.bench.fleet.night import Night
from tests.bench.fleet.scenario import ORGS, SCENARIOS, START
from tests.repo import cost_page

MEASURED: Final = Path(__file__).with_name("measured.json")


def measure() -> dict[str, Any]:
    """Return the figures of every night."""
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        return {"shape": "fleet", **dict(zip(SCENARIOS, processes.map(measure_one, SCENARIOS), strict=True))}


def table(found: dict[str, Any]) -> str:
    """Return the table of docs/scale.md: what each night used of each limit, and the longest wait."""
    limits = found[next(iter(SCENARIOS))]["peaks"]
    lines = ["| a night | " + " | ".join(limits) + " | longest wait in the queue | ends | USD |"]
    lines.append("| --- |" + " --: |" * (len(limits) + 3))
    for name in SCENARIOS:
        figures = found[name]
        shares = " | ".join(f"{share:.0%}" for share in figures["peaks"].values())
        wait = f"{figures['longest_wait_in_the_queue_s'] / 60:.0f} min"
        lines.append(f"| {name} | {shares} | {wait} | {figures['ends_at']} | {figures['usd']:.2f} |")
    return "\n".join(lines)


def measure_one(name: str, orgs: int = ORGS) -> dict[str, Any]:
    """Play a night and return its end, waits in seconds, the peak of each limit as a share of it, and dollars."""

    def hour(now_s: float) -> None:
        if now_s % 3_600 == 0:
            print(f"{name}: {now_s / 3_600:.0f}:00 UTC", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        night = Night(SCENARIOS[name], orgs, Path(folder))
        night.play(hour)
        return figures(night)


def figures(night: Night) -> dict[str, Any]:
    """Return what a night that has ended used."""
    runs = _runs(night)
    ended = max(run.finished_at for run in runs if run.finished_at is not None)
    waits = [(run.started_at - run.created_at).total_seconds() for run in runs if run.started_at is not None]
    step = night.functions["step"]
    peaks = night.usage.peaks(step.busy_max / (step.file.max_instances * step.file.concurrency))
    minutes = int((ended - START).total_seconds()) // 60
    return {
        "runs": len(runs),
        "completed": sum(run.status == "completed" for run in runs),
        "steps": night.usage.published["step-ready"],
        "documents_per_run": round((night.usage.reads.total() + night.usage.writes.total()) / len(runs), 1),
        "ends_at": f"{minutes // 60:02}:{minutes % 60:02}",
        "longest_wait_in_the_queue_s": round(max(waits)),
        "requests_lost": night.lost,
        "refused_pushes": sum(function.refused for function in night.functions.values()),
        "conflicts": night.usage.conflicts,
        "errors": night.errors,
        "peaks": {name: round(share, 2) for name, share in peaks.items()},
        "nearest_limit": max(peaks, key=lambda name: peaks[name]),
        "busiest_documents": dict(night.usage.written_max.most_common(5)),
        "usd": round(dollars(night), 2),
    }


def dollars(night: Night) -> float:
    """Return what the engine's part costs at list prices, without the warehouse's loads and statements."""
    gib = {name: function.file.memory_mib / 1_024 for name, function in night.functions.items()}
    events = night.usage.published["run-events"] + night.usage.published["audit-events"]
    notifier = cost_page.instance(cost_page.EVENT_S, cost_page.EVENTS_AT_ONCE, cost_page.EVENT_GIB)
    return night.usage.dollars(gib) + events * notifier + cost_page.log_rows({"events": events})


def _runs(night: Night) -> list[Run]:
    rows = night.documents.connection.execute("SELECT body FROM documents WHERE collection = 'runs'")
    return [Run.from_data(orjson.loads(body)) for (body,) in rows]


if __name__ == "__main__":
    print(table(orjson.loads(MEASURED.read_bytes())))
