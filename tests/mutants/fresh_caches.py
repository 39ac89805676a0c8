"""A pytest plugin for mutants: a cache that outlives a test hides a change from all tests but the first."""

from __future__ import annotations

import sys

MUTATED = ("convergence.domain.", "convergence.engine.")


def pytest_runtest_setup() -> None:
    """Empty the caches of functions in the code that is mutated: each test computes all of it."""
    for name, module in list(sys.modules.items()):
        if name.startswith(MUTATED):
            for value in vars(module).values():
                clear = getattr(value, "cache_clear", None)
                if clear is not None:
                    clear()
