"""infra/*.tf as python-hcl2 reads it, without Terraform."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hcl2

from infra.project import ROOT

INFRA = ROOT / "infra"
FILES = sorted(INFRA.glob("*.tf"))


def resources() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield kind, name and body of each resource."""
    for path in FILES:
        for block in hcl2.loads(path.read_text("utf-8")).get("resource", []):
            for kind, named in block.items():
                for name, body in named.items():
                    yield kind.strip('"'), name.strip('"'), body


RESOURCES = {f"{kind}.{name}": body for kind, name, body in resources()}
