"""The corpus names processors; which of them are installed today must not change what the messages say."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.config.processors import ps_types


@pytest.fixture(autouse=True)
def only_noop_is_installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder: Path = tmp_path_factory.mktemp("processors")
    (folder / "generic").mkdir()
    (folder / "generic" / "noop.py").write_text("def get_engine(): ...\n")
    monkeypatch.setattr(ps_types, "FOLDER", folder)
