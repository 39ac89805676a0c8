"""`convergence webhooks`: where the events of an org are sent."""

from __future__ import annotations

import click

from convergence.entry.cli.commands.webhooks.change import create, delete, rotate, update
from convergence.entry.cli.commands.webhooks.sent import deliveries, test
from convergence.entry.cli.commands.webhooks.show import list_, show


@click.group("webhooks", commands=[list_, show, create, update, rotate, delete, test, deliveries])
def command() -> None:
    """List, create, change, try and delete the webhooks of an org; what was sent to them."""
