"""Compare the locks with a database of vulnerabilities: `make audit`.

Runs pip-audit, whose own verdict is not enough: packages that the database did not answer for are skipped, and with
all of them skipped it still says that no vulnerability is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

LOCKS: Final = Path(__file__).parents[2] / "infra" / "requirements"
CHECKED: Final = ("embedded", "gcp", "dev")
CLEAN, VULNERABLE, NOT_CHECKED = 0, 1, 3


class Verdict(NamedTuple):
    """The exit code, and what to print."""

    code: int
    text: str


def main(pip_audit: str, database: str) -> int:
    """Audit every lock and return the worst exit code: 1 for a vulnerability, 3 where packages were not looked up."""
    verdicts = [verdict(name, _report(pip_audit, database, LOCKS / f"{name}.txt")) for name in CHECKED]
    for each in verdicts:
        print(each.text)
    codes = {each.code for each in verdicts}
    return VULNERABLE if VULNERABLE in codes else max(codes)


def verdict(name: str, report: dict[str, Any] | None) -> Verdict:
    """Return what a report of pip-audit (JSON) says about a lock. None: it made none, no database was reached."""
    packages = [] if report is None else report["dependencies"]
    found = [
        f"  {each['name']} {each['version']}: {fault['id']}, fixed in {', '.join(fault['fix_versions']) or '-'}"
        for each in packages
        for fault in each.get("vulns", ())
    ]
    looked_up = sum("vulns" in each for each in packages)
    if found:
        return Verdict(VULNERABLE, f"{name}: {len(found)} known vulnerabilities\n" + "\n".join(found))
    if not looked_up:
        return Verdict(NOT_CHECKED, f"{name}: NOT CHECKED, no vulnerability database can be reached from here")
    if looked_up < len(packages):
        skipped = len(packages) - looked_up
        return Verdict(NOT_CHECKED, f"{name}: NOT CHECKED in full, the database did not answer for {skipped} packages")
    return Verdict(CLEAN, f"{name}: no known vulnerability in {looked_up} packages")


def _report(pip_audit: str, database: str, lock: Path) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        options = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--timeout", "15"]
        argv = [pip_audit, "-s", database, *options, "--format", "json", "-o", str(file), "-r", str(lock)]
        subprocess.run(argv, check=False, capture_output=True)  # its exit code is 1 for a finding and for no network
        if not file.exists():
            return None
        found: dict[str, Any] = json.loads(file.read_text())
        return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
