"""Where in a processor's own code an error began."""

from __future__ import annotations

from traceback import walk_tb
from typing import Final

from convergence.ports.processor import Processor

_SHIPPED: Final = "convergence.processors"


def failing_frame(error: BaseException, processor: Processor) -> str | None:
    """Return the innermost frame in the processor's package as `package.module:12 in function`, None without one.

    Module names, not paths: an error must not contain folders of this machine.
    """
    module = type(processor).__module__
    package = _SHIPPED if module.startswith(f"{_SHIPPED}.") else module.partition(".")[0]
    found: str | None = None
    for frame, line in walk_tb(error.__traceback__):
        name = str(frame.f_globals.get("__name__", ""))
        if name == package or name.startswith(f"{package}."):
            found = f"{name}:{line} in {frame.f_code.co_name}"
    return found
