"""`convergence schedule`: what runs by itself, and when."""

from __future__ import annotations

import click

from convergence.entry.cli.commands.schedule.change import delete, pause, resume, set_, trigger
from convergence.entry.cli.commands.schedule.show import list_, next_, show


@click.group("schedule", commands=[list_, show, next_, set_, pause, resume, delete, trigger])
def command() -> None:
    """List, add, change, pause and trigger the schedules of an org.

    SCHEDULE is an id, the pipeline, the schedule's name, or PIPELINE:NAME.
    """
