"""`python -m tests.typescript.write`: write docs/client.ts."""

from __future__ import annotations

from pathlib import Path

from convergence.entry.api.typescript import client
from tests.typescript.document import app

if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs" / "client.ts").write_text(client(app()))
