"""Compiles the published requirements model of FOCUS 1.3 to `configs/system/focus/rules_1_3.json`.

`python -m convergence.processors.focus.rule_model MODEL.json CURRENCIES.csv > rules_1_3.json` (`make focus-rules`). The
file has each rule that a machine can check: its id, column, level, condition and check, as trees of lists. Mistakes of
the model itself are corrected here, by rule id and with the reason; omissions have their reason, too.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

Tree = list[Any]
Rule = Mapping[str, Any]

DATASET: Final = "CAU-"  # CostAndUsage
LEVELS: Final = {
    "MUST": "must",
    "MUST NOT": "must",
    "SHOULD": "should",
    "SHOULD NOT": "should",
    "RECOMMENDED": "should",
}
FORMATS: Final = {
    "FormatNumeric": "numeric",
    "FormatString": "string",
    "FormatDateTime": "datetime",
    "FormatUnit": "unit",
    "FormatCurrency": "currency",
    "FormatKeyValue": "key_value",
    "FormatJSON": "json",
}
TYPES: Final = {"TypeDecimal": "decimal", "TypeString": "string", "TypeDateTime": "datetime"}
NOT_CORRECTION: Final = ["!=", "ChargeClass", "Correction"]

# Rule → (what replaces its condition, what replaces its check, reason). None keeps the model's.
REPAIRS: Final[dict[str, tuple[Tree | None, Tree | None, str]]] = {
    "CAU-CapacityReservationStatus-C-003-C": (
        ["=", "CapacityReservationId", None],
        None,
        "the model's condition has an AND without a check function",
    ),
    "CAU-CapacityReservationStatus-C-004-C": (
        ["and", ["!=", "CapacityReservationId", None], ["=", "ChargeCategory", "Usage"]],
        None,
        "the model's condition has an AND without a check function",
    ),
    "CAU-CommitmentDiscountStatus-C-003-C": (
        None,
        ["=", "CommitmentDiscountStatus", None],
        "the model demands the opposite of the rule's text",
    ),
    "CAU-CommitmentDiscountStatus-C-004-C": (
        ["and", ["!=", "CommitmentDiscountId", None], ["=", "ChargeCategory", "Usage"]],
        None,
        "the model's condition is the opposite of the rule's text",
    ),
    "CAU-CommitmentDiscountStatus-C-005-M": (
        None,
        ["in", "CommitmentDiscountStatus", ["Used", "Unused"]],
        "the model has other values than the specification",
    ),
    "CAU-ConsumedQuantity-C-006-C": (
        ["and", ["=", "ChargeCategory", "Usage"], ["!=", "CommitmentDiscountStatus", "Unused"], NOT_CORRECTION],
        None,
        "the model's condition is the opposite of the rule's text",
    ),
    "CAU-PricingCurrencyContractedUnitPrice-C-012-C": (
        ["!=", "SkuPriceId", None],
        None,
        "the model's condition is the opposite of the rule's text",
    ),
    "CAU-PricingCurrencyEffectiveCost-C-004-M": (
        None,
        ["!=", "PricingCurrencyEffectiveCost", None],
        "the model checks another column",
    ),
}
LEFT_OUT: Final = {
    "CAU-EffectiveCost-C-005-C": "no way to recognise purchases that cover future charges; the model takes all",
}
COMPOSITE: Final = "made of other rules"


def compiled(model: Mapping[str, Any], currencies: list[str]) -> dict[str, Any]:
    """Return the content of the rules' file."""
    rules = {name: rule for name, rule in model["ModelRules"].items() if name.startswith(DATASET)}
    above = _conditions_above(rules)
    found: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for name, rule in rules.items():
        reason = _unchecked(name, rule)
        if reason:
            left_out[name] = reason
            continue
        try:
            found += _compiled(name, rule, above.get(name, []))
        except (KeyError, ValueError) as error:
            left_out[name] = f"not expressed here: {error}"
    return {
        "model": "FOCUS 1.3.0.1",
        "source": "FinOps Open Cost and Usage Specification, requirements model 1.3.0.1",
        "licence": "CC BY 4.0",
        "currencies": currencies,
        "rules": found,
        "left_out": left_out,
    }


def _unchecked(name: str, rule: Rule) -> str:
    """Return why a rule is not checked; '' for one that is."""
    if rule["Status"] == "Removed":
        return "removed from the specification"
    if name in LEFT_OUT:
        return LEFT_OUT[name]
    if rule["Type"] == "Dynamic":
        return "cannot be checked by a machine"
    if rule["EntityType"] == "Object":
        return "about the inside of a JSON value"
    if rule["Function"] == "Composite":
        return COMPOSITE
    if rule["ValidationCriteria"]["Keyword"] not in LEVELS:
        return "allows something"
    return ""


def _conditions_above(rules: Mapping[str, Rule]) -> dict[str, list[Tree]]:
    """Return the conditions that a rule inherits from the rules of which it is a part."""
    found: dict[str, list[Tree]] = {}
    for name, rule in rules.items():
        criteria = rule["ValidationCriteria"]
        if _unchecked(name, rule) != COMPOSITE or not criteria["Condition"]:
            continue
        for part in _parts(criteria["Requirement"]):
            found.setdefault(part, []).append(_tree(criteria["Condition"]))
    return found


def _parts(requirement: Mapping[str, Any]) -> Iterator[str]:
    if requirement.get("CheckFunction") == "CheckModelRule":
        yield requirement["ModelRuleId"]
    for item in requirement.get("Items", ()):
        yield from _parts(item)


def _compiled(name: str, rule: Rule, above: list[Tree]) -> Iterator[dict[str, Any]]:
    criteria = rule["ValidationCriteria"]
    when, check, reason = REPAIRS.get(name, (None, None, ""))
    if when is None:
        conditions = [*above, *([_tree(criteria["Condition"])] if criteria["Condition"] else [])]
        when = None if not conditions else conditions[0] if len(conditions) == 1 else ["and", *conditions]
    check = check or _tree(criteria["Requirement"])
    made = {
        "id": name,
        "column": rule["Reference"] if check[0] != "present" else check[1],
        "level": LEVELS[criteria["Keyword"]],
        "check": check,
        "when": when,
        "criteria": rule["ApplicabilityCriteria"],
        "text": criteria["MustSatisfy"],
    }
    if reason:
        made["repaired"] = reason
    if _mentions(when, NOT_CORRECTION):
        # FOCUS_Spec#2681: three-valued logic never applies the rule where ChargeClass is null, that is almost always.
        made = {**made, "id": f"OWN-{name.removeprefix(DATASET)}", "of": name}
    yield made


def _mentions(tree: Tree | None, target: Tree) -> bool:
    return tree == target or (isinstance(tree, list) and any(_mentions(part, target) for part in tree))


def _tree(query: Mapping[str, Any]) -> Tree:
    """Return a check or a condition of the model. Raises `ValueError` for a function that has no form here."""
    function = query.get("CheckFunction")
    column = query.get("ColumnName") or query.get("CheckCondition")  # ResourceType and ResourceId: the model's mistake
    if function in ("AND", "OR"):
        return _joined(function.lower(), [_tree(item) for item in query["Items"]])
    if function in FORMATS:
        return ["format", column, FORMATS[function]]
    if function in TYPES:
        return ["type", column, TYPES[function]]
    match function:
        case "CheckValue":
            return ["=", column, query["Value"]]
        case "CheckNotValue":
            return ["!=", column, query["Value"]]
        case "ColumnPresent":
            return ["present", column]
        case "CheckDecimalValue":
            return ["format", column, "numeric"]
        case "CheckNationalCurrency":
            return ["national_currency", column]
        case "CheckGreaterOrEqualThanValue":
            return [">=", column, query["Value"]]
        case "ColumnByColumnEqualsColumnValue":
            return ["product", query["ColumnAName"], query["ColumnBName"], query["ResultColumnName"]]
        case "CheckDistinctCount" if query["ExpectedCount"] == 1:
            return ["one_per", query["ColumnAName"], query["ColumnBName"]]
    raise ValueError(f"the check function {function}")


def _joined(word: str, parts: list[Tree]) -> Tree:
    """Return several parts as one: alternatives for one column, or for pairs of two columns, become a list."""
    if word == "or" and all(part[0] == "=" for part in parts) and len({part[1] for part in parts}) == 1:
        return ["in", parts[0][1], [part[2] for part in parts]]
    if word == "or" and all(part[0] == "and" and [each[0] for each in part[1:]] == ["=", "="] for part in parts):
        names = {(part[1][1], part[2][1]) for part in parts}
        if len(names) == 1:
            return ["pairs", *names.pop(), [[part[1][2], part[2][2]] for part in parts]]
    return [word, *parts]


def main(model: str, currencies: str) -> int:
    """Print the rules of a model."""
    with Path(currencies).open(encoding="utf-8", newline="") as lines:
        codes = sorted(row["currency_codes"] for row in csv.DictReader(lines))
    found = compiled(json.loads(Path(model).read_text(encoding="utf-8")), codes)
    rules = ",\n".join(f"  {json.dumps(rule)}" for rule in found.pop("rules"))
    left_out = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(reason)}" for name, reason in found.pop("left_out").items()
    )
    head = json.dumps(found)[:-1]
    sys.stdout.write(f'{head},\n "rules": [\n{rules}\n ],\n "left_out": {{\n{left_out}\n }}\n}}\n')
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
