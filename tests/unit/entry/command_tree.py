"""Every command of the command line by its full name."""

from __future__ import annotations

from importlib import import_module

import click

from convergence.entry.cli.main import COMMANDS


def commands() -> dict[str, click.Command]:
    """Every command by its full name."""
    found: dict[str, click.Command] = {}
    for name, module in COMMANDS.items():
        command = import_module(f"convergence.entry.cli.commands.{module}").command
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": each for inner, each in command.commands.items()}
        else:
            found[name] = command
    return found
