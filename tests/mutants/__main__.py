"""`make mutants SEED=s ENGINE=n`: change the code a little, many times, and show what no unit test notices.

mutmut finds tests by a `src/` layout, so it works on a copy of the tree. It runs all mutants of `domain/` and a sample
of `engine/` drawn with the seed, each with the unit tests of both folders. Of those that survive, mypy then refuses the
ones that it can see, as it does in CI: a key that its TypedDict has not, None for a value.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

import orjson

ROOT: Final = Path(__file__).parents[2]
MUTMUT: Final = (sys.executable, "-c", "from mutmut.__main__ import cli; cli()")  # as its own command does
DMYPY: Final = (sys.executable, "-m", "mypy.dmypy")
MYPY: Final = (*DMYPY, "run", "--", "--config-file", str(ROOT / "pyproject.toml"), "--package", "convergence")
PACKAGE: Final = Path("src") / "convergence"
BESIDE: Final = ("tests", "configs", "functions", "docs", "infra")  # what tests read
NO_SUCH: Final = "convergence.nothing"  # makes mutmut write all mutants and time the tests, and stop there
# mutmut's exit codes, with those of pytest and of the signal for too much processor time.
ENDS: Final[Mapping[int | None, str]] = {
    **dict.fromkeys((1, 3), "killed"),
    0: "survived",
    **dict.fromkeys((24, -24, 36, 152, 255), "timeout"),
    **dict.fromkeys((5, 33), "no tests"),
    None: "not run",
}
COUNTED: Final = ("killed", "refused by mypy", "survived", "timeout", "no tests", "suspicious")
CONFIG: Final = """
[tool.pytest.ini_options]
pythonpath = ["src", "."]
addopts = "--strict-markers --strict-config --import-mode=importlib"
markers = ["emulator: as in the project", "integration: as there", "endless: as there", "slow: as there"]

[tool.mutmut]
source_paths = ["src/convergence"]
only_mutate = ["src/convergence/domain/*.py", "src/convergence/engine/*.py", "src/convergence/engine/**/*.py"]
pytest_add_cli_args_test_selection = ["tests/unit/domain", "tests/unit/engine"]
pytest_add_cli_args = ["-W", "ignore", "-p", "no:unraisableexception", "-p", "tests.mutants.fresh_caches"]
timeout_multiplier = 10.0
timeout_constant = 3.0
also_copy = ["tests", "configs", "functions", "docs", "infra"]
"""


def main() -> int:
    """Run the mutants; the exit code is 1 when the tests do not even pass without a change."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="draws the sample of engine/ (default 0)")
    parser.add_argument("--engine", type=int, default=400, help="how many mutants of engine/ (default 400)")
    parser.add_argument("--jobs", type=int, default=2, help="how many mutants at a time (default 2)")
    parser.add_argument("--only", nargs="*", help="run these instead: mutants' names, * stands for anything")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy, jobs = Path(folder), str(arguments.jobs)
        copy_tree(copy)
        _mutmut(copy, "run", "--max-children", jobs, NO_SUCH)
        names = sorted(_ends(copy))
        if not names:
            print("mutmut made no mutants:", (copy / "log").read_text()[-2000:], sep="\n", file=sys.stderr)
            return 1
        chosen = arguments.only or sample(names, arguments.seed, arguments.engine)
        _mutmut(copy, "run", "--max-children", jobs, *chosen)
        ended = {name: end for name, end in _ends(copy).items() if end != "not run"}
        if not ended:
            print("mutmut ran none:", (copy / "log").read_text()[-2000:], sep="\n", file=sys.stderr)
            return 1
        with type_checks(copy) as accepted:
            for name in sorted(name for name, end in ended.items() if end == "survived"):
                ended[name] = "survived" if accepted(name) else "refused by mypy"
        for name in sorted(name for name, end in ended.items() if end in ("survived", "no tests")):
            print(f"== {name}: {ended[name]}", _mutmut(copy, "show", name), sep="\n")
    print(report(ended, arguments.seed))
    return 0


def copy_tree(copy: Path) -> None:
    """Lay the tree out as mutmut expects it."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "shared" / "convergence", copy / PACKAGE, ignore=ignored)
    for name in BESIDE:
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    (copy / "pyproject.toml").write_text(CONFIG)
    (copy / "mutants").mkdir()  # a folder that is not there when Python starts is never looked into for the plugin


@contextmanager
def type_checks(copy: Path) -> Iterator[Callable[[str], bool]]:
    """Yield what says whether the type check accepts a mutant: on the copy's source, which is left as it was.

    mypy's daemon remembers what a changed line does not concern: seconds for each mutant, not minutes.
    """

    def stop() -> None:
        subprocess.run([*DMYPY, "stop"], cwd=copy / "src", capture_output=True, check=False)

    def passes() -> bool:
        run = subprocess.run(MYPY, cwd=copy / "src", capture_output=True, text=True, check=False)
        if run.returncode not in {0, 1}:
            raise RuntimeError(f"mypy: {run.stdout}{run.stderr}")
        return run.returncode == 0

    def accepted(name: str) -> bool:
        path = copy / "src" / f"{re.split(r'[.]x[_ǁ]', name)[0].replace('.', '/')}.py"
        path = path if path.exists() else path.with_suffix("") / "__init__.py"
        before = path.read_text()
        try:
            _mutmut(copy, "apply", name)
            if path.read_text() == before:
                raise RuntimeError(f"mutmut did not apply {name}")
            return passes()
        finally:
            path.write_text(before)
            if not passes():  # it keeps some errors of a file that is as before, which would refuse the next mutant
                stop()

    try:
        if not passes():
            raise RuntimeError("mypy refuses the code as it is")
        yield accepted
    finally:
        stop()


def sample(names: list[str], seed: int, engine: int) -> list[str]:
    """Return all mutants of `domain/` and the seed's choice of those of `engine/`."""
    domain = [name for name in names if name.startswith("convergence.domain.")]
    others = sorted(set(names) - set(domain))
    return domain + sorted(Random(seed).sample(others, min(engine, len(others))))


def report(ended: dict[str, str], seed: int) -> str:
    """Return a line for each folder."""
    lines = []
    for folder in ("domain", "engine"):
        ends = Counter(end for name, end in ended.items() if name.startswith(f"convergence.{folder}."))
        counts = ", ".join(f"{ends[end]} {end}" for end in COUNTED)
        lines.append(f"{folder}: {ends.total()} mutants, {counts}")
    return "\n".join([*lines, f"again: make mutants SEED={seed}"])


def _mutmut(copy: Path, *arguments: str) -> str:
    where = {**os.environ, "PYTHONPATH": str(copy / "mutants")}  # the plugin is found there
    run = subprocess.run([*MUTMUT, *arguments], cwd=copy, env=where, capture_output=True, text=True, check=False)
    with (copy / "log").open("a") as log:
        log.write(run.stdout + run.stderr)
    return run.stdout


def _ends(copy: Path) -> dict[str, str]:
    return dict(_read(copy))


def _read(copy: Path) -> Iterator[tuple[str, str]]:
    for meta in (copy / "mutants" / PACKAGE).rglob("*.py.meta"):
        for name, code in orjson.loads(meta.read_bytes())["exit_code_by_key"].items():
            yield name, ENDS.get(code, "suspicious")


if __name__ == "__main__":
    sys.exit(main())
