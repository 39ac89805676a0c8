"""`convergence export`: an org's data as files of a standard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import click

from convergence.config.files.schemas.folder import TableSchemas
from convergence.engine.services import Services, dataset_of
from convergence.entry.cli.options import Command, Month
from convergence.entry.cli.server import Server, not_there
from convergence.entry.cli.session import Session, known_org
from convergence.errors import InvalidInput
from convergence.ports.object_store import WritableStore
from convergence.ports.warehouse import TableSchema
from convergence.tenants.credentials import advice

if TYPE_CHECKING:
    from convergence.processors.focus.export.deliver import Delivery, Export
    from convergence.processors.focus.export.places import Bucket
from convergence.entry.cli.export_ends import LocalFolder, LocalSource, ServerSource


@click.group("export")
def command() -> None:
    """Write an org's data as files of a standard."""


@command.command("focus", cls=Command)
@click.argument("org")
@click.option(
    "--version", type=click.Choice(["1.3", "1.4"]), default="1.4", show_default=True, help="Version of FOCUS."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "csv"]),
    default="parquet",
    show_default=True,
    help="Format of the files.",
)
@click.option("--from", "first", type=Month(), required=True, metavar="MONTH", help="First billing period, as 2026-11.")
@click.option("--to", "last", type=Month(), metavar="MONTH", help="Last billing period; by default the first one.")
@click.option(
    "--to-url",
    "to_url",
    required=True,
    metavar="URL",
    help="Destination: a folder, s3://bucket/folder, gs://bucket/folder or azure://account/container/folder.",
)
@click.option(
    "--credential", default="", metavar="PROVIDER", help="The provider whose stored credential opens the bucket."
)
@click.pass_obj
def focus(
    session: Session,
    org: str,
    version: str,
    form: str,
    first: date,
    last: date | None,
    to_url: str,
    credential: str,
) -> int:
    """Write the charges of ORG as FOCUS files: of each billing period a bundle, VERSION/MONTH, with a manifest.

    Whole periods are written, and replace what an export before has written. The manifest has the digest of each file,
    sums, and which facts are unknown.

    \b
    Example:
      convergence export focus acme --from 2026-10 --to 2026-11 --to-url focus
      convergence export focus acme --version 1.3 --format csv --from 2026-11 --to-url focus
      convergence export focus acme --from 2026-11 --to-url s3://finance/focus?region=eu-central-1
    """
    from convergence.processors.focus.export.deliver import Export

    target = _target(to_url)
    export = Export(
        org=org,
        first=first,
        last=last or first,
        version="1.4" if version == "1.4" else "1.3",
        format="parquet" if form == "parquet" else "csv",
        table=_table(session.configs_dir),
    )
    export.months()  # refuses before anything is opened
    server = session.server(writes=True)
    if server is None:
        manifests = session.go(_local(session, export, target, credential))
    elif isinstance(target, Path):
        manifests = session.go(_remote(session, server, export, target))
    else:
        not_there("write to a bucket", "run the pipeline focus/export with the parameter to_url")
    _show(session, to_url.partition("?")[0].rstrip("/"), manifests)
    return 0


def _table(configs_dir: Path) -> TableSchema:
    """Return the schema of the charges: a server's client may have no configs folder."""
    from convergence.processors.focus.export.bundle import TABLE

    return TableSchemas(configs_dir).get(TABLE)


def _target(to_url: str) -> Path | Bucket:
    from convergence.processors.focus.export.places import bucket_of

    parts = urlsplit(to_url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return bucket_of(to_url) if "://" in to_url else Path(to_url)


async def _local(session: Session, export: Export, target: Path | Bucket, credential: str) -> Sequence[dict[str, Any]]:
    with session.reading() as services:
        await known_org(services, export.org)
    from convergence.processors.focus.export.bundle import COMMITMENTS

    async with session.writing(f"export focus {export.org}") as writer:
        services = writer.services
        for table in (export.table, services.schemas.get(COMMITMENTS)):
            await services.warehouse.ensure_table(dataset_of(services, export.org), table)
        source, now = LocalSource(services, export.org), services.clock.now
        if isinstance(target, Path):
            return await export.run(source, LocalFolder(target), now)
        async with _opened(services, export.org, target, credential) as delivery:
            return await export.run(source, delivery, now)


@asynccontextmanager
async def _opened(services: Services, org: str, bucket: Bucket, credential: str) -> AsyncIterator[Delivery]:
    """Open a bucket with a credential of the org."""
    from convergence.processors.focus.export.places import Below

    provider = credential or bucket.provider
    found = await services.credentials.find(org, provider)
    if found is None:
        raise InvalidInput(advice(org, provider))
    secret = await services.credentials.open(found)
    store = await services.objects(org, services.http).open(bucket.place, secret)
    try:
        if not isinstance(store, WritableStore):
            raise InvalidInput(f"a place of the kind {bucket.place.kind} does not take files")
        yield Below(store, bucket.folder)
    finally:
        await store.close()


async def _remote(session: Session, server: Server, export: Export, folder: Path) -> Sequence[dict[str, Any]]:
    with session.reading() as services:
        return await export.run(ServerSource(server, export.org), LocalFolder(folder), services.clock.now)


def _show(session: Session, where: str, manifests: Sequence[dict[str, Any]]) -> None:
    if session.out.json:
        session.out.data({"periods": manifests})
        return
    for manifest in manifests:
        for name, facts in manifest["datasets"].items():
            sums = ", ".join(f"{each['BilledCost']} {currency}" for currency, each in facts["sums"].items())
            session.out.line(f"{where}/{manifest['path']}/{facts['file']}: {facts['rows']} rows, billed {sums or '0'}")
            unknown = ", ".join(each["column"] for each in facts["unknown"])
            if unknown:
                session.out.note(f"{name} of {manifest['path']}: unknown {unknown}; see the manifest")
        for each in manifest["missing"]:
            session.out.note(f"{each['dataset']} of {manifest['path']}: {each['reason']}")
