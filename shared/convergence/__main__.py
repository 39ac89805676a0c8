"""`python -m convergence` is the command `convergence`."""

from __future__ import annotations

import sys

INTERRUPTED = 130  # docs/cli.md


def main() -> None:
    """Be the command. Its imports take a moment, so Ctrl-C is expected while they run, too."""
    try:
        from convergence.bootstrap import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
