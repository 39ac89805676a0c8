"""The gate's SQL finds what an interpreter of the same rules finds, row by row, on random charges."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.schemas.folder import TableSchemas
from convergence.processors.focus.conditions import Condition, joined, negated, replaced, written
from convergence.processors.focus.counts import Counting, columns_of
from convergence.processors.focus.rules import OF_COLUMNS, Rule, load_rules
from convergence.processors.focus.slices import slice_of
from convergence.processors.focus.sql import PATTERNS, Rows
from tests.unit.processors.focus_charges import CANDIDATES, CHARGE, DAY, NEXT, VISIBLE, charge
from tests.unit.processors.step_world import CONFIGS, ManualClock, WorldContext

TYPES = {column.name: column.type for column in TableSchemas(CONFIGS).get(CANDIDATES).columns}
RULESET = load_rules(CONFIGS, ["OpenAI"])
RULES = [rule for rule in RULESET.rules if rule.check[0] not in OF_COLUMNS and columns_of(rule) <= TYPES.keys()]
TEXTS = (
    *("Usage", "Purchase", "Credit", "Correction", "Recurring", "One-Time", "Used", "Unused", "Spend", "USD", "EUR"),
    *("usd", "Compute", "Virtual Machines", "100 Tokens", "{}", '{"a": 1}', "[1]", " ", "!", "x"),
)
MOMENTS = (DAY, NEXT, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
NUMBERS = tuple(map(Decimal, ("0", "-1", "3", "4", "6", "8", "12")))


def values_of(name: str) -> tuple[Any, ...]:
    kind = TYPES[name]
    return (None, CHARGE.get(name), *{"STRING": TEXTS, "TIMESTAMP": MOMENTS, "BIGNUMERIC": NUMBERS}.get(kind, ()))


def charges(random_: random.Random) -> list[dict[str, Any]]:
    """Some columns have one value in all rows, some are different in each."""
    columns = sorted({name for rule in RULES for name in columns_of(rule)})
    same = {name: random_.choice(values_of(name)) for name in random_.sample(columns, random_.randint(0, 8))}
    varied = random_.sample(columns, random_.randint(0, len(columns)))
    rows = []
    for number in range(random_.randint(1, 16)):
        changed = {name: random_.choice(values_of(name)) for name in varied if random_.random() < 0.6}
        rows.append(charge(random_.choice([number, 1]), **(same | changed)))
    return rows


def holds(tree: Sequence[Any], row: Mapping[str, Any], *, lets_null_pass: bool = True) -> bool:
    word, *parts = tree
    found: list[Any] = [row.get(each) for each in parts if isinstance(each, str) and each in TYPES]
    missing = None in found
    match word:
        case "and":
            return all(holds(part, row, lets_null_pass=lets_null_pass) for part in parts)
        case "or":
            return any(holds(part, row, lets_null_pass=lets_null_pass) for part in parts)
        case "=":
            return bool(found[0] == parts[1])
        case "!=":
            return bool(found[0] != parts[1])
        case "in":
            return found[0] in parts[1] or (found[0] is None and lets_null_pass)
        case "national_currency":
            return missing or found[0] in RULESET.currencies
        case "pairs":
            return found[0] is None or found in parts[2]
        case "format":
            return TYPES[parts[0]] != "STRING" or missing or re.search(PATTERNS[parts[1]], str(found[0])) is not None
        case "product":
            return missing or abs(found[0] * found[1] - found[2]) < Decimal("0.5")  # all numbers here are whole
        case ">=":
            return missing or bool(found[0] >= Decimal(parts[1]))
        case "same":
            return bool(found[0] == found[1])
        case "before":
            return missing or bool(found[0] < found[1])
    raise AssertionError(word)


def of_groups(rule: Rule, rows: Sequence[Mapping[str, Any]], chosen: Sequence[Mapping[str, Any]]) -> int:
    word, *parts = rule.check

    def key(row: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
        return tuple(row.get(name) for name in names)

    match word:
        case "unique":
            return sum(count - 1 for count in Counter(key(row, parts[0]) for row in chosen).values())
        case "one_per":
            found: dict[Any, set[Any]] = defaultdict(set)
            for row in chosen:
                found[row.get(parts[0])].add(row.get(parts[1]))
            return sum(len(others - {None}) > 1 for name, others in found.items() if name is not None)
        case "linked":
            others = {key(row, parts[0]) for row in rows if row.get("ChargeCategory") not in {None, "Credit"}}
            return sum(key(row, parts[0]) not in others for row in chosen)
        case "apart":
            spans = {(key(row, parts[0]), *key(row, parts[1:])) for row in chosen}
            late = 0
            for each in {span[0] for span in spans}:
                mine = sorted(
                    (span[1:] for span in spans if span[0] == each), key=lambda span: [part or "" for part in span]
                )
                reached = itertools.accumulate((past or "" for _, past in mine), max, initial="")
                late += sum(
                    first is not None and up_to > first for (first, _), up_to in zip(mine, reached, strict=False)
                )
            return late
    raise AssertionError(word)


def expected(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    found = {}
    for rule in RULES:
        chosen = [row for row in rows if rule.when is None or holds(rule.when, row, lets_null_pass=False)]
        if rule.names_rows:
            found[rule.id] = sum(not holds(rule.check, row) for row in chosen)
        else:
            found[rule.id] = of_groups(rule, rows, chosen)
    return {name: number for name, number in found.items() if number}


def test_every_count_is_that_of_an_interpreter_of_the_rules() -> None:
    seen: Counter[str] = Counter()

    async def work() -> None:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            context = WorldContext(None, warehouse, clock)
            await context.warehouse.ensure_table(VISIBLE)
            for seed in range(30):
                rows = charges(random.Random(seed))
                stage = context.warehouse.stage(CANDIDATES)
                await stage.write(0, rows)
                await context.warehouse.load(stage, dates=[context.start_date])
                chosen = await slice_of(context, CANDIDATES, VISIBLE, kind="usage", provider="openai")
                sql = Rows(TYPES, RULESET.currencies)
                found = await Counting(sql, CANDIDATES, VISIBLE, chosen, context).counts(RULES)
                assert found == (len(rows), expected(rows)), f"seed {seed}"
                seen.update(found[1])
        finally:
            warehouse.close()

    asyncio.run(work())
    assert len(seen) > 0.8 * sum(not Rows(TYPES, ()).always(rule) for rule in RULES)  # most were broken by some row


def known(values: Mapping[str, bool]) -> Callable[[str], Condition]:
    return lambda name: values.get(name, name)


@pytest.mark.parametrize(
    ("values", "left"),
    [
        ({}, "(a AND (NOT (b OR c)))"),
        ({"a": True}, "(NOT (b OR c))"),
        ({"a": False}, "FALSE"),
        ({"a": True, "b": False}, "(NOT c)"),
        ({"c": True}, "FALSE"),
        ({"a": True, "b": False, "c": False}, "TRUE"),
    ],
)
def test_what_is_known_of_every_row_is_left_out_of_a_condition(values: dict[str, bool], left: str) -> None:
    condition = joined("AND", ["a", negated(joined("OR", ["b", "c"]))])
    assert written(replaced(condition, known(values))) == left


def test_two_negations_are_none_and_nothing_to_join_decides_nothing() -> None:
    assert negated(negated("a")) == "a" == joined("OR", ["a", "a"])
    assert joined("AND", []) is True
    assert joined("OR", [False]) is False
