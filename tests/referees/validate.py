"""Runs in the validators' environment: `python validate.py FILE.parquet FOLDER` prints what focus-validator finds.

FOLDER is laid out as the validator wants it: `focus_validator/rules/model-1.3.0.1.json` and `currency_codes.csv`. The
last line is JSON: how many rules there are, and which fail that are not made of other rules.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

RULES = Path("focus_validator/rules")
VERSION = "1.3.0.1"


def main(data: str, folder: str) -> None:
    """Print the rules that fail."""
    os.chdir(folder)  # it reads the currencies relative to the working directory
    model = json.loads((RULES / f"model-{VERSION}.json").read_text(encoding="utf-8"))
    validator = import_module("focus_validator.validator").Validator(
        data_filename=data,
        output_destination=None,
        output_type="console",
        data_format="parquet",
        rule_set_path=str(RULES),
        focus_dataset="CostAndUsage",
        rules_version=VERSION,
        rules_block_remote_download=True,
        applicability_criteria=",".join(model["ApplicabilityCriteria"]),
    )
    found = validator.validate().by_rule_id
    failed = [
        name
        for name, rule in found.items()
        if not rule["ok"]
        and not (rule.get("details") or {}).get("skipped")
        and model["ModelRules"][name]["Function"] != "Composite"
    ]
    print(json.dumps({"rules": len(found), "failed": sorted(failed)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
