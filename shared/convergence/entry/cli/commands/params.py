"""`convergence params`: what a run of a pipeline may be given."""

from __future__ import annotations

from typing import Any

import click

from convergence.config.catalog import Catalog
from convergence.config.model.pipeline import ParameterSpec
from convergence.config.templates.builtin_names import IMPLICIT_PARAMETERS
from convergence.entry.cli.options import Command
from convergence.entry.cli.output import Output, cell
from convergence.entry.cli.server import Server
from convergence.entry.cli.session import Session
from convergence.errors import NotFound, did_you_mean


@click.command("params", cls=Command)
@click.argument("pipeline")
@click.pass_obj
def command(session: Session, pipeline: str) -> int:
    """List the parameters of PIPELINE: type, default, allowed values, description.

    \b
    Example:
      convergence params openai/cost/usage_cost
    """
    server = session.server()
    if server is not None:
        found = _remote(server, pipeline)
    else:
        session.check_configs()
        declared = Catalog(session.configs_dir).get(pipeline).pipeline.parameters
        found = [described(name, spec) for name, spec in declared.items()]
        found += [_implicit(name, kind) for name, kind in IMPLICIT_PARAMETERS.items() if name not in declared]
    if session.out.json:
        session.out.data({"parameters": found})
    else:
        parameters_table(session.out, found)
    return 0


def described(name: str, spec: ParameterSpec) -> dict[str, Any]:
    """Return a parameter as the API lists it."""
    return {
        "name": name,
        "type": spec.type,
        "required": spec.required,
        "default": spec.default,
        "allowed": None if spec.allowed is None else list(spec.allowed),
        "description": spec.description,
    }


def parameters_table(out: Output, found: list[dict[str, Any]], third: str = "default") -> None:
    """Print parameters, a line each; the description last, where it may wrap. `third` names their `default`."""
    rows = [
        (
            each["name"],
            each["type"],
            "required" if each["required"] and each["default"] is None else cell(each["default"]),
            ", ".join(map(cell, each["allowed"] or ())),
            each["description"].strip(),
        )
        for each in found
    ]
    out.table(("parameter", "type", third, "allowed", ""), rows)


def _implicit(name: str, kind: str) -> dict[str, Any]:
    return described(name, ParameterSpec(description="every pipeline takes it")) | {"type": kind}


def _remote(server: Server, pipeline: str) -> list[dict[str, Any]]:
    known = {each["name"]: each["parameters"] for each in server.open_to_all("/validator/pipelines")["pipelines"]}
    if pipeline not in known:
        raise NotFound(f"{server.url} lists no pipeline {pipeline[:200]!r}.{did_you_mean(pipeline, known)}")
    found: list[dict[str, Any]] = known[pipeline]
    names = {each["name"] for each in found}
    return [*found, *(_implicit(name, kind) for name, kind in IMPLICIT_PARAMETERS.items() if name not in names)]
