"""One folder holds everything of an embedded installation; one process at a time may write to it."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path
from typing import IO

from convergence.errors import StorageLocked


class DataDirectory:
    """Paths of an installation, and its writer lock. The kernel frees the lock when the process dies."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock: IO[str] | None = None

    @property
    def documents(self) -> Path:
        """The SQLite file with the state."""
        return self.root / "state.db"

    @property
    def warehouse(self) -> Path:
        """The folder of the DuckDB file and its stages."""
        return self.root / "warehouse"

    @property
    def key(self) -> Path:
        """The key file."""
        return self.root / "keyring.key"

    @property
    def log(self) -> Path:
        """The log of the engine and its processors, JSON lines."""
        return self.root / "convergence.log"

    def lock(self, purpose: str) -> None:
        """Become the writer; `purpose` (such as `run openai/cost/usage_cost`) is shown to those who come later.

        Raises:
            StorageLocked: names the holder.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (self.root / "lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise StorageLocked(
                f"{self.root} is in use by {holder}. Wait for it, stop it, or choose another folder with --data-dir; "
                "status, history and logs work meanwhile."
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} ({purpose})")
        file.flush()
        self._lock = file

    def holder(self) -> str | None:
        """Return which other process writes now, as `lock` would name it; None when none does.

        Read from the note in the lock file: to ask the kernel is to take the lock, which may turn a writer away.
        """
        try:
            note = (self.root / "lock").read_text("utf-8")
        except OSError:
            return None
        number = re.match(r"process (\d+) ", note)
        if number is None or int(number[1]) == os.getpid():
            return None
        try:
            os.kill(int(number[1]), 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            return note  # alive, and somebody else's
        return note

    def unlock(self) -> None:
        """Let others write."""
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None
