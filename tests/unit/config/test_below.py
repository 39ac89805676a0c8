"""Files below the configs folder, by paths that a parameter can hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.config.files.below import file_below, read_below
from convergence.errors import StepFailed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "configs" / "checks").mkdir(parents=True)
    (tmp_path / "configs" / "checks" / "costs.json").write_text("{}")
    (tmp_path / "outside.json").write_text("[]")
    (tmp_path / "configs" / "link.json").symlink_to(tmp_path / "outside.json")
    return tmp_path / "configs"


@pytest.mark.parametrize("path", ["checks/costs.json", "configs/checks/costs.json"])
def test_a_file_is_read(root: Path, path: str) -> None:
    assert read_below(root, path) == b"{}"


@pytest.mark.parametrize(
    "path", ["../outside.json", "link.json", "checks", "x" * 300 + ".json", "a\0.json", "a/" * 3000]
)
def test_a_path_without_a_file_below_the_folder_has_none(root: Path, path: str) -> None:
    assert file_below(root, path) is None
    with pytest.raises(StepFailed, match="there is no file"):
        read_below(root, path)


def test_a_misspelt_path_is_reported_with_the_nearest(root: Path) -> None:
    with pytest.raises(StepFailed, match=r"Did you mean 'checks/costs.json'"):
        read_below(root, "checks/cost.json")
