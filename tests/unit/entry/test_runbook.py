"""The commands of docs/operations.md for many failures at once, in their order, on runs that failed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.unit.entry.conftest import Cli

PAGE = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
SECTION = PAGE.partition("### Many at once\n")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"`convergence (dead-letters [a-z-]+ (?:_all|ORG) [^`]+)`", SECTION)


def test_the_runbook_for_an_outage_is_followed_to_its_end(acme: Cli, configs: Path) -> None:
    listing, count, replay, resume, discard = COMMANDS
    assert acme("org", "create", "globex").code == 0
    for org in ("acme", "acme", "globex"):
        assert acme("run", org, "shop/load").code == 1

    def follow(command: str, code: str, replay_id: str = "") -> str:
        words = shlex.split(command.replace("ORG", "acme").replace("CODE", code).replace("REPLAY", replay_id))
        done = acme(*words)
        assert "Error" not in done.err, done.err
        return done.out

    (cause,) = [line for line in follow(listing, "").splitlines() if "load_plans" in line]
    failures, code = cause.split()[:2]
    assert (failures, code) == ("3", "step.failed")
    assert "3 runs of 2 orgs, 3 steps, 3 slices" in follow(count, code)

    assert "stopped" in follow(replay, code), "the cause is still there, so the first run fails again"
    (stored,) = acme("dead-letters", "replays", "_all", "--json").data["replays"]
    seed = configs / "openai" / "seed"
    (seed / "missing.csv").write_bytes((seed / "subscription_plans.csv").read_bytes())
    assert "done: 2 of 3 completed, 1 failed again" in follow(resume, code, stored["replay_id"])
    assert "done: 1 of 1 completed" in follow(replay, code), "what failed during a replay has a dead letter of its own"

    (seed / "missing.csv").unlink()
    assert acme("run", "acme", "shop/load").code == 1
    assert "0 dead letters" in follow(discard, code), "the failure is younger than 30 days"
    assert "1 dead letter (1 run)" in follow(discard.replace("--older-than 30d", ""), code)
    follow(discard.replace("--older-than 30d", "").replace("--dry-run", ""), code)
    assert "load_plans" not in follow(listing, "")
