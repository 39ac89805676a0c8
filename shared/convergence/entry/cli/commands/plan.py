"""`convergence plan`: what a run would do, without doing anything."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import click

from convergence.config.checks.processors import check_processors
from convergence.config.parameters.doubts import doubtful_days
from convergence.engine.check_days import today_of
from convergence.engine.prepare_run import prepare
from convergence.engine.views.plan import PlanView, plan_view
from convergence.entry.cli import remote
from convergence.entry.cli.commands.params import parameters_table
from convergence.entry.cli.commands.run import request_for
from convergence.entry.cli.options import Command
from convergence.entry.cli.output import cell
from convergence.entry.cli.parameters import parameter_options, read_parameters
from convergence.entry.cli.server import Server, quoted
from convergence.entry.cli.session import Session, known_org

ABSENT: Final = "(given when it runs)"  # stands for a required secret: a plan opens none


@click.command("plan", cls=Command)
@click.argument("org")
@click.argument("pipeline")
@parameter_options
@click.pass_obj
def command(
    session: Session, org: str, pipeline: str, given: Sequence[str], variables: Sequence[str], files: Sequence[str]
) -> int:
    """Show what running PIPELINE for ORG would do: steps in order, limits, tables. Nothing is stored or started.

    \b
    Example:
      convergence plan acme openai/cost/usage_cost -p date=2026-11-07
    """
    server = session.server()
    if server is not None:
        return _shown(session, _planned(server, org, pipeline, (given, variables, files)))
    session.check_configs()
    return _shown(session, asyncio.run(_plan(session, org, pipeline, (given, variables, files))))


async def _plan(session: Session, org: str, pipeline: str, words: tuple[Sequence[str], ...]) -> PlanView:
    with session.reading() as services:
        await known_org(services, org)
        loaded = services.catalog.get(pipeline)
        parameters = read_parameters(loaded.path, loaded.pipeline.parameters, *words, ask=False)
        for name, spec in loaded.pipeline.parameters.items():
            if spec.type == "secret" and spec.required:
                parameters.setdefault(name, ABSENT)
        shown = await plan_view(services, await prepare(services, request_for(org, pipeline, parameters)))
        _, doubtful = check_processors(loaded, "embedded", services.schemas, session.configs_dir)
        judged = await services.statements(loaded)
        shown["warnings"] = [str(session.openable(each)) for each in (*loaded.warnings, *doubtful, *judged.warnings)]
        if doubt := doubtful_days(parameters, today_of(services, pipeline)):
            shown["warnings"].append(f"{doubt}; a run of it needs --force")
        return shown


def _planned(server: Server, org: str, pipeline: str, words: remote.Words) -> PlanView:
    parameters = remote.given(server, pipeline, words, ask=False)
    path = f"/pipelines/run/{quoted(org)}/{pipeline}"
    return cast("PlanView", server.ask("POST", path, json=parameters, params={"dry_run": "true"}))


def _shown(session: Session, shown: PlanView) -> int:
    if session.out.json:
        session.out.data(shown)
        return 0
    _print(session, shown)
    return 0


def _print(session: Session, plan: PlanView) -> None:
    out = session.out
    out.line(f"{plan['pipeline']} for {plan['org']} ({plan['pipeline_id']}), dataset {plan['dataset']}")
    dates = plan["dates"]
    out.wrapped(f"dates    {dates['start_date']} to {dates['end_date']}")
    given = ", ".join(f"{name}={cell(value)}" for name, value in plan["parameters"].items() if name not in dates)
    out.wrapped(f"with     {given}")
    limits = ", ".join(f"{name} {used['used']} of {used['limit']}" for name, used in plan["limits"].items())
    out.wrapped(f"limits   run {plan['timeout_s']:g} s; runs of the org: {limits}")
    out.wrapped(f"reads    {', '.join(plan['tables']['read']) or '-'}")
    out.wrapped(f"writes   {', '.join(plan['tables']['written']) or '-'}")
    out.line()
    if plan["declared"]:
        parameters_table(out, [{**each, "default": each["value"]} for each in plan["declared"]], "value")
        out.line()
    rows = [
        (
            number,
            step["step_id"],
            step["ps_type"],
            ", ".join(step["depends_on"]) or step["trigger"] or "",
            f"{step['timeout_s']:g} s",
            step["attempts_max"],
            _notes(step),
        )
        for number, step in enumerate(plan["steps"], 1)
    ]
    out.table(("", "step", "processor", "after", "timeout", "attempts", ""), rows, right={0, 4, 5})
    out.warnings(plan["warnings"], out.note)


def _notes(step: Mapping[str, Any]) -> str:
    notes = []
    if step["problem"] is not None:
        notes.append(f"would fail: {step['problem']}")
    if not step["enabled"]:
        notes.append("disabled")
    if step["reads"]:
        notes.append(f"reads {', '.join(step['reads'])}")
    if step["when"] is not None:
        notes.append(f"when {step['when']}")
    if step["on_failure"] == "continue":
        notes.append("the run continues if it fails")
    return "; ".join(notes)
