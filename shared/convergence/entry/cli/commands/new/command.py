"""`convergence new`: what is missing in a folder of your own, with a test that passes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from keyword import iskeyword
from pathlib import Path
from typing import Final

import click

from convergence.config.checks.pipeline import is_pipeline_path
from convergence.config.processors import ps_types
from convergence.entry.cli.commands.new import files
from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session
from convergence.errors import InvalidInput

_WORD: Final = re.compile(r"[a-z][a-z0-9_]{1,49}")
_CAPITALS: Final = re.compile(r"(?<![A-Z])(?:PS_TYPE|[A-Z]{4,10})(?![A-Z])")  # also in NAME_usage


@click.group("new")
def command() -> None:
    """Write the first files of a provider, pipeline, processor or procedure, each with a test that passes."""


@command.command("pipeline", cls=Command)
@click.argument("name")
@click.pass_obj
def pipeline(session: Session, name: str) -> int:
    """Write the pipeline NAME, its path below the configs folder.

    \b
    Example:
      convergence new pipeline acme/usage/daily
    """
    if not is_pipeline_path(name):
        raise InvalidInput(f"{name[:100]!r} is not a pipeline's path: two to four segments, such as acme/usage/daily")
    session.check_configs()
    first, _, rest = name.partition("/")
    if first == session.configs_dir.name:  # completed by a shell, as the path of a file
        raise InvalidInput(f"a pipeline's path begins below the folder {first}: {rest}")
    schema = "../" * name.count("/") + "pipeline.schema.json"
    words = _words(session, name) | {"SCHEMA": schema, "PROVIDER": name.partition("/")[0], "PATHS": f'["{name}"]'}
    made = {
        session.configs_dir / f"{name}.yml": files.PIPELINE,
        _tests(session) / f"test_{words['IDENTIFIER']}.py": files.PIPELINE_TEST,
    }
    return _write(session, made, words, session.command("validate", name))


@command.command("provider", cls=Command)
@click.argument("name")
@click.pass_obj
def provider(session: Session, name: str) -> int:
    """Write the folder of the provider NAME: its registry line, the set-up of its key, a first pipeline.

    \b
    Example:
      convergence new provider acme
    """
    _check_word(name, "a provider's name")
    session.check_configs()
    names = (each for each in ps_types.known_names() if each.startswith(f"{name}.") and ps_types.is_shipped(each))
    if taken := sorted(names):
        raise InvalidInput(f"{name!r} is taken: {taken[0]} is a processor of the product; choose another name")
    folder = session.configs_dir / name
    words = _words(session, name) | {"PATHS": f'["{name}/auth/setup", "{name}/usage/daily"]'}
    made = {
        folder / "provider.yml": files.PROVIDER,
        folder / "auth" / "setup.yml": files.SETUP,
        folder / "usage" / "daily.yml": files.USAGE,
        _tests(session) / f"test_{name}.py": files.PIPELINE_TEST,
    }
    setup = session.command("integration", "setup", "ORG", name, "--secret-from-env", "api_key=VARIABLE")
    return _write(session, made, words, setup)


@command.command("procedure", cls=Command)
@click.argument("name")
@click.pass_obj
def procedure(session: Session, name: str) -> int:
    """Write the stored procedure NAME.

    \b
    Example:
      convergence new procedure sp_acme_totals
    """
    _check_word(name, "a procedure's name")
    session.check_configs()
    made = {
        session.configs_dir / "system" / "procedures" / "own" / f"{name}.sql": files.PROCEDURE,
        _tests(session) / f"test_{name}.py": files.PROCEDURE_TEST,
    }
    return _write(session, made, _words(session, name), session.command("procedures", "sync"))


@command.command("processor", cls=Command)
@click.argument("name")
@click.pass_obj
def processor(session: Session, name: str) -> int:
    """Write the processor NAME, two words with a dot, as a package of your own in this folder.

    \b
    Example:
      convergence new processor acme.invoices
    """
    if "." not in name:
        raise InvalidInput(f"a processor's name is PROVIDER.MODULE, as acme.invoices; {name[:60]!r} has no dot")
    first, _, module = name.partition(".")
    for word in (first, module):
        _check_word(word, "a processor's name is PROVIDER.MODULE; each part")
        if iskeyword(word):
            raise InvalidInput(
                f"{word!r} is a keyword of Python and cannot be the name of a module; choose another name"
            )
    if ps_types.is_installed(name) or ps_types.is_shipped(name):
        raise InvalidInput(f"a processor is called {name!r} already, and runs refuse duplicates; choose another name")
    package = f"{first}_convergence"
    words = _words(session, name) | {
        "PACKAGE": package,
        "MODULE": module,
        "PS_TYPE": name,
        "CLASS": "".join(part.capitalize() for part in module.split("_")),
        "KEBAB": package.replace("_", "-"),
    }
    root = Path(f"{package}")
    made = {
        root / "pyproject.toml": files.PACKAGE,
        root / package / "__init__.py": "",
        root / package / f"{module}.py": files.PROCESSOR,
        root / "tests" / f"test_{module}.py": files.PROCESSOR_TEST,
    }
    return _write(session, made, words, f"pip install -e {root}")


def _check_word(name: str, what: str) -> None:
    if not _WORD.fullmatch(name):
        raise InvalidInput(f"{what} must have only lower-case letters, digits and _, not {name[:60]!r}")


def _words(session: Session, name: str) -> dict[str, str]:
    identifier = re.sub(r"[^A-Za-z0-9]", "_", name)
    return {
        "NAME": name,
        "TITLE": identifier.replace("_", " ").capitalize(),
        "KEBAB": identifier.replace("_", "-").lower(),
        "IDENTIFIER": identifier,
        "FOLDER": session.configs_dir.name,
    }


def _tests(session: Session) -> Path:
    return session.configs_dir.parent / "tests"


def _write(session: Session, made: Mapping[Path, str], words: Mapping[str, str], then: str) -> int:
    """Write the files; nothing when one of them exists already."""
    for path in made:
        if path.exists():
            raise InvalidInput(f"{path} exists already; name another one, or remove it first")
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_CAPITALS.sub(lambda match: words.get(match[0], match[0]), text), "utf-8")
    if session.out.json:
        session.out.data({"files": [str(path) for path in made]})
        return 0
    for path in made:
        session.out.line(f"made {path}")
    session.out.line(f"next: {then}")
    return 0
