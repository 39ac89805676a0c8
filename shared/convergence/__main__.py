"""`python -m convergence` is the command `convergence`."""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130  # docs/cli.md


def main() -> None:
    """Be the command. Its imports take a moment, so Ctrl-C is expected while they run, too."""
    try:
        _open_streams()
        from convergence.bootstrap import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _open_streams() -> None:
    """Send streams that the caller closed (`>&-`) to nowhere: a file opened under their numbers would get the output.

    Python has no `sys.stdout` then.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest that is free
        continue
    os.close(number)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open as long as the process
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above


if __name__ == "__main__":
    main()
