"""`convergence reprice`: price past days with another price list: preview the change, or apply it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import click

from convergence.domain.status import RunStatus
from convergence.engine.check_days import check_days
from convergence.engine.dispatch import dispatch
from convergence.engine.views import runs as views
from convergence.entry.cli.commands.run import request_for
from convergence.entry.cli.follow import display, follow
from convergence.entry.cli.options import Command
from convergence.entry.cli.parameters import force_option
from convergence.entry.cli.rows import Rows
from convergence.entry.cli.run_report import report_end
from convergence.entry.cli.server import not_there
from convergence.entry.cli.session import Session, known_org

STEP: Final = "calculate_costs"


@click.command("reprice", cls=Command)
@click.argument("org")
@click.argument("provider")
@click.option("--from", "first", metavar="DATE", required=True, help="First day (UTC), also TODAY-n.")
@click.option("--to", "last", metavar="DATE", required=True, help="Last day (UTC), included.")
@click.option("--apply/--dry-run", default=False, help="Write; a dry run, the default, only shows before and after.")
@click.option("--price-file", metavar="FILE", help="A price list below configs/; the shipped one by default.")
@force_option
@click.option(
    "--credential-id", metavar="ID", default="", help="The credential whose usage is meant, if the org has several."
)
@click.pass_obj
def command(
    session: Session,
    org: str,
    provider: str,
    first: str,
    last: str,
    apply: bool,
    price_file: str | None,
    force: bool,
    credential_id: str,
) -> int:
    """Price past days of ORG at another price list: before and after, per day and model. Runs genai/reprice/PROVIDER.

    \b
    Example:
      convergence reprice acme openai --from 2026-10-01 --to 2026-10-31
      convergence reprice acme openai --from 2026-10-01 --to 2026-10-31 --apply
    """
    pipeline = f"genai/reprice/{provider}"
    if session.server() is not None:
        not_there("show before and after", f"run {pipeline} there: the result of its step {STEP} holds both")
    session.check_configs()
    parameters: dict[str, Any] = {"start_date": first, "end_date": last, "apply": apply}
    with session.reading() as services:
        services.catalog.get(pipeline)
        if not force:
            check_days(services, pipeline, parameters)
    parameters |= {"price_file": price_file} if price_file is not None else {}
    parameters |= {"credential_id": credential_id} if credential_id else {}
    return session.go(_reprice(session, org, pipeline, parameters))


async def _reprice(session: Session, org: str, pipeline: str, parameters: Mapping[str, Any]) -> int:
    rows = Rows()
    with session.reading() as services:
        await known_org(services, org)
    async with session.writing(f"reprice {pipeline}", rows) as writer:
        await writer.worker.start()
        run = await dispatch(writer.services, request_for(org, pipeline, parameters))
        ended = (await follow(writer, [run], display(session.out, rows)))[0]
        if ended.status is not RunStatus.COMPLETED:
            return await report_end(session.out, writer.services, [ended], session.command)
        results = await views.results(writer.services, org, ended.run_id)
    found = {name: value for name, value in results[STEP].items() if name != "status"}
    if session.out.json:
        session.out.data({"run_id": ended.run_id, **found})
    else:
        _print(session, found)
    return 0


def _print(session: Session, found: Mapping[str, Any]) -> None:
    out = session.out
    out.line("\nCost per day, before and after")
    columns = ("before", "after", "difference")
    days = [[day["usage_date"], *(day[name] for name in columns)] for day in found["days"]]
    out.table(["day", *columns], [*days, ["total", *(found[name] for name in columns)]], right={1, 2, 3})
    if found["changes"]:
        out.line("\nWhat changes, the largest first")
        changes = [
            [row["usage_date"], row["model"] or "-", *(row[name] for name in columns), row["reason"]]
            for row in found["changes"]
        ]
        out.table(["day", "model", *columns, "reason"], changes, right={2, 3, 4})
    out.warnings(found["warnings"], out.line)
    if found["applied"]:
        out.line("\nWritten; org_cost_repricing keeps what changed.")
    elif Decimal(found["difference"]) or found["changes"]:
        out.line("\nNothing was written. To write it, give the same command with --apply.")
    else:
        out.line("\nNothing would change.")
