"""`python -m convergence.sandbox [PORT] [FAULT=PATH …]`: serve until Ctrl-C.

`truncated=/usage/completions` breaks every answer to a path that contains the text; faults are those of `faults.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

from convergence.sandbox import anthropic, azure, deepseek, google
from convergence.sandbox.faults import NAMES, Plan
from convergence.sandbox.server import ADMIN_KEY, Sandbox


async def main(port: int, broken: list[Plan]) -> None:
    """Serve on `port`."""
    base_url = await Sandbox(broken=broken).start(port)
    sys.stdout.write(f"{Sandbox.describe()}\n\nbase URL  {base_url}\nkey       {ADMIN_KEY}\n")
    sys.stdout.write(f"Anthropic {anthropic.ADMIN_KEY}\nDeepSeek  {deepseek.KEY}\nAzure     {azure.CREDENTIAL}\n")
    sys.stdout.write(
        f"          {azure.RESOURCE}\nGoogle    {google.service_account(base_url)}\n          {google.TABLE}\n"
    )
    sys.stdout.flush()
    await asyncio.Event().wait()


def plans(arguments: list[str]) -> list[Plan]:
    """Parse `FAULT=PATH`. Raises `SystemExit` for an unknown fault."""
    found = [argument.partition("=") for argument in arguments]
    if unknown := [fault for fault, _, _ in found if fault not in NAMES]:
        sys.exit(f"no fault is called {unknown[0]!r}; known are {', '.join(sorted(NAMES))}")
    return [Plan(fault, path) for fault, _, path in found]


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
        asked = plans([argument for argument in sys.argv[1:] if not argument.isdigit()])
        asyncio.run(main(numbers[0] if numbers else 8765, asked))
