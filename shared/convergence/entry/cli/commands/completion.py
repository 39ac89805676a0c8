"""`convergence completion`: names completed by the shell."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from convergence.entry.cli.options import COMPLETE, SilentCommand
from convergence.entry.cli.session import Session

NAME: Final = "convergence"


@click.command("completion", cls=SilentCommand)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> int:
    """Print the script with which SHELL completes commands, options and values: orgs, pipelines, runs.

    \b
    Example:
      convergence completion fish > ~/.config/fish/completions/convergence.fish
      eval "$(convergence completion bash)"     # in ~/.bashrc; likewise for zsh in ~/.zshrc
    """
    session: Session = context.obj
    kind = get_completion_class(shell)
    assert kind is not None, "the choices are the shells that click knows"
    root = context.find_root().command
    completing = kind(root, {}, NAME, COMPLETE)
    # Not `source()`: it asks bash for its version, and bash may be missing here.
    script = (completing.source_template % completing.source_vars()).strip()
    session.out.data({"script": script}) if session.out.json else session.out.line(script)
    return 0
