"""One folder holds an entire embedded installation; one process at a time may write to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from convergence.errors import StorageLocked, StorageUnusable

_PRIVATE: Final = 0o077  # the umask of the process: other users get no rights to new files
_DIRECTORY, _FILE = 0o700, 0o600
_OURS: Final = ("lock", "state.db*", "convergence.log*", "warehouse", "warehouse/**/*")


class DataDirectory:
    """Paths of an installation, and its writer lock. The kernel frees the lock when the process dies.

    Two files are locked: `lock`, which also names the holder, and the state itself, for a lock file can be removed
    while its holder lives. While the lock is held, this process makes files that only their owner can read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock: IO[str] | None = None
        self._state: IO[str] | None = None
        self._umask = 0

    @property
    def documents(self) -> Path:
        """The SQLite file with the state."""
        return self.root / "state.db"

    @property
    def warehouse(self) -> Path:
        """The folder of the DuckDB file and its stages."""
        return self.root / "warehouse"

    @property
    def files(self) -> Path:
        """The folder of files that steps may read: one folder for each org."""
        return self.root / "files"

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
            StorageUnusable: the folder cannot be written.
        """
        self._umask = os.umask(_PRIVATE)
        try:
            self._take(purpose)
        except OSError as error:
            os.umask(self._umask)
            raise StorageUnusable(
                f"the data directory {self.root} cannot be written: {error.filename or self.root}: {error.strerror}. "
                "Make it writable for this user, or choose another folder with --data-dir."
            ) from error
        except BaseException:
            os.umask(self._umask)
            raise

    def _take(self, purpose: str) -> None:
        self.root.mkdir(parents=True, exist_ok=True, mode=_DIRECTORY)
        with contextlib.ExitStack() as undo:
            file = undo.enter_context(self._locked(self.root / "lock"))
            # Kept open for as long as the state is: closing any handle of a file drops SQLite's own locks on it.
            state = undo.enter_context(self._locked(self.documents))
            self._close_to_others()
            file.truncate(0)
            file.write(f"process {os.getpid()} ({purpose})")
            file.flush()
            undo.pop_all()
        self._lock, self._state = file, state

    def _locked(self, path: Path) -> IO[str]:
        """Return the file at `path`, locked; one that was replaced before its lock was had does not count."""
        while True:
            file = path.open("a+", encoding="utf-8")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.close()
                holder = self._note() or "another process"
                raise StorageLocked(
                    f"{self.root} is in use by {holder}. Wait for it, stop it, or choose another folder with "
                    "--data-dir; status, history and logs work meanwhile."
                ) from error
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return file
            file.close()

    def _close_to_others(self) -> None:
        """Remove other users' rights to files of earlier releases; other files in the folder stay as they are.

        The key is left out: a key that others could read is refused by the keyring, not hidden.
        """
        self.root.chmod(_DIRECTORY)
        for path in self._ours():
            if path.is_symlink():
                continue
            with contextlib.suppress(FileNotFoundError):  # a reader's file may come and go
                path.chmod(_DIRECTORY if path.is_dir() else _FILE)

    def _ours(self) -> Iterator[Path]:
        for pattern in _OURS:
            yield from self.root.glob(pattern)

    def holder(self) -> str | None:
        """Return which other process writes now, as `lock` would name it; None when none does.

        Read from the note in the lock file: to ask the kernel is to take the lock, which may turn a writer away.
        """
        note = self._note()
        number = re.match(r"process (\d+) ", note)
        if number is None or int(number[1]) == os.getpid():
            return None
        try:
            os.kill(int(number[1]), 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            return note  # alive, and owned by another user
        return note

    def _note(self) -> str:
        try:
            return (self.root / "lock").read_text("utf-8").strip()
        except OSError:
            return ""

    def unlock(self) -> None:
        """Let others write."""
        if self._lock is not None and self._state is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._state.close()
            self._lock = self._state = None
            os.umask(self._umask)
