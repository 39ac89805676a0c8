"""The state's file after documents were removed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from convergence.adapters.local.clock import SystemClock
from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.errors import StorageFault
from convergence.ports.documents import Create, Delete


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("state.db*"))


def test_compacting_gives_the_space_of_removed_documents_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        documents = SqliteDocuments(tmp_path / "state.db", SystemClock())
        names = [f"runs/r{number}" for number in range(400)]
        await documents.commit([Create(name, {"text": "x" * 5_000}) for name in names])
        await documents.commit([Delete(name) for name in names[1:]])
        full = size(tmp_path)
        documents.compact()
        assert size(tmp_path) < full / 5
        kept = await documents.get(names[0])
        assert kept is not None
        assert len(kept.data["text"]) == 5_000
        await documents.commit([Create("runs/new", {})])
        documents.close()

    asyncio.run(scenario())


def test_a_file_that_cannot_be_compacted_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        documents = SqliteDocuments(tmp_path / "state.db", SystemClock())
        documents.connection.execute("BEGIN")
        with pytest.raises(StorageFault, match="could not be compacted"):
            documents.compact()
        documents.connection.execute("ROLLBACK")
        documents.close()

    asyncio.run(scenario())
