"""Log lines as Cloud Logging reads them from standard output ("Structured logging"), errors as Error Reporting does.

One JSON object a line: severity, message, the trace of the request, labels with the names of org, pipeline, run and
step. Secrets are masked where they are known, by the step's own logger, before a line arrives here.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, TextIO

import orjson

from convergence.domain.trace import current

# Error Reporting, "Format errors in logs": this type makes a line an error event whatever its text is.
ERROR_EVENT: Final = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"
_LABELS: Final = ("org", "pipeline", "run_id", "step_id", "request_id")
_TEXT_BYTES_MAX: Final = 100_000  # an entry holds 256 KiB (Cloud Logging quotas), and has two texts


class CloudFormatter(logging.Formatter):
    """Formats records for the log of `project`; `service` and `version` name this function and its release."""

    def __init__(self, *, project: str, service: str, version: str) -> None:
        super().__init__()
        self._project = project
        self._context = {"service": service, "version": version}

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        work, message = current(), record.getMessage()
        labels = {**work.labels, "logger": record.name}
        labels |= {name: str(value) for name in _LABELS if (value := getattr(record, name, None)) is not None}
        line: dict[str, Any] = {"severity": record.levelname, "logging.googleapis.com/labels": labels}
        if work.trace is not None:
            line["logging.googleapis.com/trace"] = f"projects/{self._project}/traces/{work.trace.trace_id}"
            line["logging.googleapis.com/spanId"] = work.trace.span_id
            line["logging.googleapis.com/trace_sampled"] = work.trace.sampled
        if record.levelno >= logging.ERROR:
            line |= {"@type": ERROR_EVENT, "serviceContext": self._context}
            line["context"] = {
                "reportLocation": {
                    "filePath": record.pathname,
                    "lineNumber": record.lineno,
                    "functionName": record.funcName,
                }
            }
        if record.exc_info is not None and record.exc_info[0] is not None:
            line["stack_trace"] = _cut(f"{message}\n{self.formatException(record.exc_info)}")
        return orjson.dumps({**line, "message": _cut(message)}).decode()


def write_to(stream: TextIO, formatter: CloudFormatter) -> None:
    """Send everything that is logged in this process to `stream`: ours from INFO on, others' from WARNING on."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("convergence").setLevel(logging.INFO)


def to_stdout(*, project: str, service: str, version: str) -> None:
    """Log to standard output, where the platform collects."""
    write_to(sys.stdout, CloudFormatter(project=project, service=service, version=version))


def _cut(text: str) -> str:
    """Return what fits into one entry, without splitting characters: a line that is refused would be lost."""
    data = text.encode("utf-8", "replace")
    return data.decode() if len(data) <= _TEXT_BYTES_MAX else data[:_TEXT_BYTES_MAX].decode("utf-8", "ignore") + " …"
