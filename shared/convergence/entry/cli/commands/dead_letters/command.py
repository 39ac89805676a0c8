"""The group with all of its commands."""

from __future__ import annotations

from convergence.entry.cli.commands.dead_letters import discards, many, single
from convergence.entry.cli.commands.dead_letters.group import command

__all__ = ["command", "discards", "many", "single"]
