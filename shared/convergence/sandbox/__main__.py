"""`python -m convergence.sandbox [PORT]`: serve until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from convergence.sandbox import anthropic, deepseek
from convergence.sandbox.server import ADMIN_KEY, Sandbox


async def main(port: int) -> None:
    """Serve on `port`."""
    base_url = await Sandbox().start(port)
    sys.stdout.write(f"{Sandbox.describe()}\n\nbase URL  {base_url}\nkey       {ADMIN_KEY}\n")
    sys.stdout.write(f"Anthropic {anthropic.ADMIN_KEY}\nDeepSeek  {deepseek.KEY}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8765))
