"""The log of the engine and its steps: one JSON object a line, in a file that rotates."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

import orjson

from convergence.domain.times import to_text

LABELS: Final = ("org", "run_id", "step_id")
_BYTES_MAX: Final = 10_000_000
_FILES_KEPT: Final = 3


class JsonFormatter(logging.Formatter):
    """A record as `{at, level, logger, message, org?, run_id?, step_id?, error?}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, Any] = {
            "at": to_text(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {label: value for label in LABELS if (value := getattr(record, label, None)) is not None}
        if record.exc_info is not None:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


class LogFile(RotatingFileHandler):
    """A rotating file that counts what it wrote.

    The library's class asks the file system before each line and formats it twice: a tenth of a small request.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=_BYTES_MAX, backupCount=_FILES_KEPT, encoding="utf-8", delay=True)
        self._size = 0
        self._lost = 0  # lines since it could not be written

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            line = self.format(record) + "\n"
            if self.stream is not None and self._size + len(line) > self.maxBytes:
                self.doRollover()
            if self.stream is None:
                self.stream = self._open()
                self._size = os.fstat(self.stream.fileno()).st_size
            self.stream.write(line)
            self.stream.flush()
            self._size += len(line)
            self._lost = 0
        except OSError as error:
            if not self._lost:  # once: on a full disk every line would report it
                sys.stderr.write(f"{self.baseFilename} cannot be written: {error.strerror}; its lines are lost\n")
            self._lost += 1
            stream, self.stream = self.stream, None  # what it could not write would be tried again when it is closed
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        except Exception:  # noqa: BLE001 - logging's own contract: a log that cannot be written must not stop the program
            self.handleError(record)


def write_to(path: Path, *, to_stderr: bool) -> logging.Handler:
    """Send what the product logs to `path` from now on; the file is made with its first line.

    Return the handler, for `stop`. Only the process that holds the data directory may do this: two that rotate one
    file lose lines.
    """
    handler = LogFile(path)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("convergence")
    logger.setLevel(logging.DEBUG if to_stderr else logging.INFO)
    logger.propagate = to_stderr
    logger.addHandler(handler)
    if to_stderr:
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    return handler


def stop(handler: logging.Handler) -> None:
    """Close the file, and leave the logger as it was found."""
    logger = logging.getLogger("convergence")
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
    handler.close()


def read_run(path: Path, run_id: str) -> Iterator[dict[str, Any]]:
    """Yield the lines of one run, oldest first; files that are not there have none, a torn line is left out."""
    expected = run_id.encode()
    for file in [*(path.with_name(f"{path.name}.{number}") for number in range(_FILES_KEPT, 0, -1)), path]:
        try:
            with file.open("rb") as lines:
                found = [line for line in lines if expected in line]
        except FileNotFoundError:
            continue
        for text in found:
            try:
                line = orjson.loads(text)
            except orjson.JSONDecodeError:
                continue
            if isinstance(line, dict) and line.get("run_id") == run_id:
                yield line
