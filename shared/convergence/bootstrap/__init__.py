"""The only place that joins adapters to ports. Nothing here decides anything."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

from convergence.bootstrap.embedded import PROJECT, Embedded, EmbeddedOptions, embedded, reading

if TYPE_CHECKING:
    from pathlib import Path

    from convergence.entry.cli.installation import Installation, Place, Watch, Writer
    from convergence.sandbox import Sandbox

__all__ = ["PROJECT", "Embedded", "EmbeddedOptions", "embedded", "installation", "main", "reading"]


def main() -> None:
    """Be the command `convergence`."""
    from convergence.entry.cli.main import run
    from convergence.entry.cli.session import program_name

    sys.exit(run(installation(), sys.argv[1:], program_name(sys.argv[0])))


def installation() -> Installation:
    """Return how the entry points open an installation."""
    from convergence.adapters.local.data_directory import DataDirectory
    from convergence.adapters.local.warehouse.reader import DuckDbReader
    from convergence.adapters.parquet.columns import parquet_columns
    from convergence.bootstrap.deployment import examine_deployment
    from convergence.config.files.described_tables import DescribedTables
    from convergence.entry.cli.installation import Installation, Writer

    def options(place: Place, watch: Watch | None = None) -> EmbeddedOptions:
        return EmbeddedOptions(
            data_dir=place.data_dir,
            configs_dir=place.configs_dir,
            env=place.env,
            project_id=place.project_id,
            synchronous=place.synchronous,
            schedules=place.schedules,
            runs_max=place.runs_max,
            watch=watch,
        )

    @asynccontextmanager
    async def writer(place: Place, purpose: str, watch: Watch | None) -> AsyncIterator[Writer]:
        async with embedded(options(place, watch), purpose) as installation:
            warehouse = installation.warehouse.session
            yield Writer(
                installation.services,
                installation.worker,
                installation.log.flush,
                warehouse.look,
                installation.documents.compact,
                installation.bus.tap,
            )

    def sandbox() -> tuple[Sandbox, str]:
        from convergence.sandbox import ADMIN_KEY, Sandbox

        return Sandbox(), ADMIN_KEY

    return Installation(
        writer=writer,
        reader=lambda place: reading(options(place)),
        holder=lambda place: DataDirectory(place.data_dir).holder(),
        log_file=lambda place: DataDirectory(place.data_dir).log,
        backup=_back_up,
        restore=_restore,
        sandbox=sandbox,
        sql_reader=lambda place: closing(DuckDbReader(place.project_id, DescribedTables(place.configs_dir).get)),
        parquet_columns=parquet_columns,
        examine_deployment=examine_deployment,
    )


def _back_up(place: Place, folder: Path) -> Mapping[str, Any]:
    from convergence.adapters.local.backup import back_up
    from convergence.adapters.local.clock import SystemClock
    from convergence.adapters.local.data_directory import DataDirectory

    return back_up(DataDirectory(place.data_dir), folder, SystemClock())


def _restore(place: Place, folder: Path) -> Mapping[str, Any]:
    from convergence.adapters.local.backup import restore

    return restore(folder, place.data_dir)
