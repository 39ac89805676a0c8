"""The function `webhook`: sends events to webhooks of orgs. Settings are in `function.yaml`."""

from pathlib import Path

import functions_framework.aio
from starlette.requests import Request

from convergence.bootstrap.functions import function
from convergence.entry.push.function import Function

app = function(Path(__file__).parent)


@functions_framework.aio.http
async def main(_: Request) -> Function:
    """Let the application answer, whatever the path is."""
    return app
