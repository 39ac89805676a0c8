"""What the public validators say about a Parquet file of charges."""

from __future__ import annotations

import json
import lzma
import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.referees.environment import REQUIRED, python_of

DATA: Final = Path(__file__).parent
# The requirements model 1.3.0.1 as it is published (CC BY 4.0), compressed; see docs/data.md.
MODEL: Final = DATA / "model-1.3.0.1.json.xz"
PATIENCE_S: Final = 300


def published_model() -> dict[str, Any]:
    """Return the model of the specification."""
    found: dict[str, Any] = json.loads(lzma.decompress(MODEL.read_bytes()))
    return found


def required() -> Path:
    """Return the validators' interpreter; without one the test is skipped, or fails where they must be there."""
    python = python_of()
    if python is None:
        if os.environ.get(REQUIRED):
            pytest.fail("the validators are not there: run make referees")
        pytest.skip("the public validators of FOCUS are not installed: make referees")
    return python


def validator_failures(parquet: Path, folder: Path) -> tuple[int, list[str]]:
    """Return how many rules focus-validator knows, and those that fail with all criteria."""
    rules = folder / "focus_validator" / "rules"
    rules.mkdir(parents=True)
    (rules / "model-1.3.0.1.json").write_bytes(lzma.decompress(MODEL.read_bytes()))
    (rules / "currency_codes.csv").write_bytes((DATA / "currency_codes.csv").read_bytes())
    command = [str(required()), str(DATA / "validate.py"), str(parquet), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    return found["rules"], found["failed"]


def lint_violations(parquet: Path) -> list[str]:
    """Return the columns that focus-toolkit's strict lint complains about."""
    toolkit = required().parent / "focus-toolkit"
    supported = ["--supports", "SupportsMultiplePricingCategories", "--supports", "SupportsUnitPricing"]
    command = [str(toolkit), "validate", str(parquet), "--dataset", "cost-and-usage", *supported]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert "violation(s)" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    return re.findall(r"^\s+\[[^\]]+\] (\w+):", done.stdout, re.MULTILINE)
