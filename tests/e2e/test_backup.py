"""A backup that is made while a server runs, restored: the same runs, rows and credentials."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Installation
from tests.e2e.serving import serving

FIGURES = "SELECT x_Model, SUM(BilledCost) AS cost, COUNT(*) AS n FROM cost_data_standard_1_3 GROUP BY 1 ORDER BY 1"


def facts(installation: Installation) -> dict[str, object]:
    runs = installation.json("history", "demo")["runs"]
    return {
        "runs": [(run["run_id"], run["status"]) for run in runs],
        "figures": installation.json("query", "demo", FIGURES)["rows"],
    }


def test_what_is_restored_is_what_was_there_while_the_server_ran(tmp_path: Path) -> None:
    installation, folder = Installation(tmp_path / "data"), tmp_path / "backup"
    installation.call("demo")
    with serving(installation):
        said = installation.call("backup", str(folder)).stdout
    assert "backed up" in said
    before = facts(installation)
    assert before["figures"]
    restored = Installation(tmp_path / "restored")
    assert "restored the backup of" in restored.call("restore", str(folder)).stdout
    assert facts(restored) == before
    assert (restored.data_dir / "keyring.key").read_bytes() == (installation.data_dir / "keyring.key").read_bytes()
    assert restored.data_dir.stat().st_mode & 0o077 == 0
    assert not [path for path in restored.data_dir.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
