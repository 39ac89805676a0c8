"""Parameters from a command line. Secrets come from the environment, a file or a prompt, never from argv in plain text:
other users of the machine can read a process's arguments, and shells keep them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from convergence.config.model.pipeline import ParameterSpec
from convergence.entry.cli.output import visible
from convergence.errors import InvalidInput, did_you_mean

F = TypeVar("F", bound=Callable[..., Any])
Specs = Mapping[str, ParameterSpec]
_HOW: Final = "--secret-from-env {name}=VARIABLE or --secret-from-file {name}=FILE"


def parameter_options(command: F) -> F:
    """Add `-p`, `--secret-from-env` and `--secret-from-file`."""
    for decorate in (
        click.option("--secret-from-file", "files", multiple=True, metavar="NAME=FILE", help="A secret from a file."),
        click.option(
            "--secret-from-env", "variables", multiple=True, metavar="NAME=VARIABLE", help="A secret from a variable."
        ),
        click.option("-p", "--param", "given", multiple=True, metavar="NAME=VALUE", help="A parameter; repeatable."),
    ):
        command = decorate(command)
    return command


def force_option(command: F) -> F:
    """Add `--force`, with which a caller confirms days that are probably a slip."""
    text = "Also for days in the future, or more than ten years of them."
    return click.option("--force", is_flag=True, help=text)(command)


def read_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Return name → value. Raises `InvalidInput` for one without `=`, or given twice."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InvalidInput(f"{option} takes NAME=VALUE, not {name or text!r}")
        if name in found:
            raise InvalidInput(f"{option} gives {name!r} twice")
        found[name] = value
    return found


def read_parameters(
    pipeline: str,
    specs: Specs,
    given: Sequence[str],
    variables: Sequence[str],
    files: Sequence[str],
    *,
    ask: bool = True,
) -> dict[str, Any]:
    """Return the parameters of a run of `pipeline`, which declares `specs`.

    With `ask`, a missing required secret is prompted for on a terminal.

    Raises:
        InvalidInput: a pair is malformed, a secret is in `-p` or has no source, or a required one is not given.
    """
    secrets = {name for name, spec in specs.items() if spec.type == "secret"}
    parameters: dict[str, Any] = {**read_pairs("-p", given)}
    for name in parameters:
        if name in secrets:
            raise InvalidInput(
                f"{name!r} is a secret and does not belong on a command line; use {_HOW.format(name=name)}"
            )
    for name, source in _sources("--secret-from-env", variables, secrets, pipeline):
        if source not in os.environ:
            raise InvalidInput(f"the environment has no variable {source!r} for the secret {name!r}")
        parameters[name] = os.environ[source]
    for name, source in _sources("--secret-from-file", files, secrets, pipeline):
        parameters[name] = _read(Path(source), name)
    required = [name for name in specs if name in secrets and specs[name].required]
    for name in required if ask else ():
        if name not in parameters:
            parameters[name] = _ask(name, pipeline, specs[name])
    return parameters


def _sources(option: str, texts: Sequence[str], secrets: Iterable[str], pipeline: str) -> Iterable[tuple[str, str]]:
    for name, source in read_pairs(option, texts).items():
        if name not in secrets:
            raise InvalidInput(f"{pipeline} declares no secret {name!r}.{did_you_mean(name, secrets)}")
        yield name, source


def _read(file: Path, name: str) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the file {str(file)!r} for the secret {name!r} cannot be read: {error}") from error


def _ask(name: str, pipeline: str, spec: ParameterSpec) -> str:
    if not sys.stdin.isatty():
        raise InvalidInput(f"{pipeline} needs the secret {name!r}; give it with {_HOW.format(name=name)}")
    if spec.description:
        click.echo(visible(spec.description), err=True)
    return str(click.prompt(name, hide_input=True, err=True))
