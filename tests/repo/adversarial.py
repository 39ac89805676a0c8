"""Every regular expression of the package with how it is used, and texts that make a bad one slow."""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Iterator
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).parents[2] / "shared" / "convergence"
METHODS = frozenset({"match", "fullmatch", "search", "sub", "subn", "findall", "finditer", "split"})
ANCHORED = frozenset({"match", "fullmatch"})


class Use(NamedTuple):
    """A pattern and the ways in which it is asked. `where` is `module:NAME` or `module:line`."""

    where: str
    pattern: re.Pattern[Any]
    methods: frozenset[str]


def uses() -> Iterator[Use]:
    """Yield all patterns: names of modules, and texts given to `re.match` and its siblings."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    asked: dict[str, set[str]] = {}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                asked.setdefault(ast.unparse(node.func.value).rpartition(".")[2], set()).add(node.func.attr)
    for path, tree in trees.items():
        name = ".".join(("convergence", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        if any(isinstance(node, ast.Name) and node.id == "re" for node in ast.walk(tree)):
            module = importlib.import_module(name)
            for key, value in vars(module).items():
                if isinstance(value, re.Pattern) and _is_made_in(tree, key):
                    yield Use(f"{name}:{key}", value, frozenset(asked.get(key, METHODS)))
        yield from _inline(name, tree)


def _is_made_in(tree: ast.Module, key: str) -> bool:
    targets = (node.target if isinstance(node, ast.AnnAssign) else node.targets[0] for node in tree.body
               if isinstance(node, ast.Assign | ast.AnnAssign))  # fmt: skip
    return any(isinstance(target, ast.Name) and target.id == key for target in targets)


def _inline(name: str, tree: ast.Module) -> Iterator[Use]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {f"re.{method}" for method in METHODS}:
            first = node.args[0]
            if isinstance(first, ast.Constant):
                method = ast.unparse(node.func).removeprefix("re.")
                yield Use(f"{name}:{node.lineno}", re.compile(first.value), frozenset({method}))


def texts(pattern: re.Pattern[Any], size: int) -> Iterator[str]:
    """Yield texts of about `size` characters: one repeated piece, made of what the pattern itself mentions."""
    runs, signs = _mentioned(pattern)
    pieces = [*runs, *signs, *("".join(pair) for pair in product(signs, repeat=2))]
    pieces += [run + sign for run in runs for sign in signs]
    for piece in dict.fromkeys(pieces):
        for start in ("", *runs[:3]):
            yield start + piece * (size // len(piece)) + "\x00"


def _mentioned(pattern: re.Pattern[Any]) -> tuple[list[str], list[str]]:
    """Return the literal runs of a pattern, and one or two members of each of its classes."""
    parser = import_module("re._parser")  # the only way to read a pattern; it has no types

    runs: list[str] = []
    signs: list[str] = []

    def walk(items: Any) -> None:
        run = ""
        for operator, argument in items:
            kind = str(operator)
            if kind == "LITERAL":
                run += chr(argument)
                signs.append(chr(argument))
                continue
            runs.append(run)
            run = ""
            if kind in {"IN", "NOT_LITERAL", "ANY", "CATEGORY", "RANGE"}:
                signs.extend(_members(kind, argument))
            for inner in _inner(argument):
                walk(inner)
        runs.append(run)

    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    walk(parser.parse(text, pattern.flags & (re.VERBOSE | re.IGNORECASE | re.DOTALL)))
    chosen = list(dict.fromkeys(sign for sign in signs if sign != "\x00"))[:10]
    return [run for run in dict.fromkeys(runs) if len(run) > 1][:6], chosen or ["a"]


def _inner(argument: Any) -> Iterator[Any]:
    if type(argument).__name__ == "SubPattern":
        yield argument
    elif isinstance(argument, tuple | list):
        for each in argument:
            yield from _inner(each)


def _members(kind: str, argument: Any) -> list[str]:
    if kind != "IN":
        return ["a"]
    found: list[str] = []
    for operator, member in argument:
        if str(operator) == "LITERAL":
            found.append(chr(member))
        elif str(operator) == "RANGE":
            found.append(chr(member[0]))
        elif str(operator) == "CATEGORY":
            found.append({"CATEGORY_SPACE": " ", "CATEGORY_DIGIT": "1"}.get(str(member), "a"))
    return found or ["a"]


def took(pattern: re.Pattern[Any], methods: frozenset[str], text: str) -> float:
    """Return the seconds of the quickest of three tries."""
    given: Any = text if isinstance(pattern.pattern, str) else text.encode("latin-1")
    tries = []
    for _ in range(3):
        begin = time.thread_time()
        pattern.fullmatch(given)
        if methods - ANCHORED:
            for _found in pattern.finditer(given):
                pass
        tries.append(time.thread_time() - begin)
        if tries[-1] < QUICK_S:
            break
    return min(tries)


QUICK_S = 0.02  # a linear pattern takes about a millisecond for SIZE characters
SMALL, SIZE = 24, 8_000  # a pattern that takes its time for 24 characters is exponential


def slow_text(pattern: re.Pattern[Any], methods: frozenset[str]) -> str:
    """Return the beginning of a text for which the time grows faster than its length, '' when none was found."""
    for text in texts(pattern, SMALL):
        if took(pattern, methods, text) > QUICK_S:
            return text
    for short, long in zip(texts(pattern, SIZE), texts(pattern, 2 * SIZE), strict=True):
        first = took(pattern, methods, short)
        if first > QUICK_S and took(pattern, methods, long) > 3 * first:
            return short[:40]
    return ""
