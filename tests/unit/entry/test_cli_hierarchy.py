"""Hierarchies on the command line."""

from __future__ import annotations

from pathlib import Path

from tests.unit.entry.conftest import Cli

CSV = "node_id,name,level,parent_id,cost_center\neng,Engineering,department,,4700\nml,Models,team,eng,4711\n"


def test_a_hierarchy_is_imported_shown_and_searched(acme: Cli, tmp_path: Path) -> None:
    assert acme("hierarchy", "show", "acme", "--json").data == {"levels": [], "nodes": []}
    file = tmp_path / "hierarchy.csv"
    file.write_text(CSV, encoding="utf-8-sig")
    assert acme("hierarchy", "import", "acme", str(file)).out == "2 nodes on 2 levels: department > team\n"
    assert acme("hierarchy", "show", "acme").out == CSV
    path = acme("hierarchy", "find", "acme", "cost_center", "4711", "--json").data["path"]
    assert [node["node_id"] for node in path] == ["eng", "ml"]
    assert "Models" in acme("hierarchy", "find", "acme", "team", "ml").out
    wrong = acme("hierarchy", "find", "acme", "cost_center", "4712")
    assert (wrong.code, "Did you mean '4711'" in wrong.err) == (2, True)


def test_a_file_that_is_wrong_changes_nothing(acme: Cli, tmp_path: Path) -> None:
    file = tmp_path / "hierarchy.csv"
    file.write_text(CSV)
    assert acme("hierarchy", "import", "acme", str(file)).code == 0
    for content in (CSV.replace("team,eng", "team,eg").encode(), b"\xff\xfe"):
        file.write_bytes(content)
        assert acme("hierarchy", "import", "acme", str(file)).code == 2
    assert acme("hierarchy", "show", "acme").out == CSV
    assert acme("hierarchy", "show", "unknown").code == 2
