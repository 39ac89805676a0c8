"""A folder of uploaded files that is not there: the message has its full path, where the files belong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from convergence.adapters.objects.folder import FolderStore
from convergence.errors import StepFailed


def test_the_message_says_where_the_folder_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = FolderStore(Path(".convergence/files/acme"), "acme")
    with pytest.raises(StepFailed) as caught:
        asyncio.run(store.list("", most=10))
    assert str(caught.value) == (
        f"the folder {tmp_path}/.convergence/files/acme does not exist: create it and put the files there"
    )
