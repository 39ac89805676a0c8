"""Errors that an answer with a good status reports, around its records or in their place."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

SHOWN_MAX: Final = 300  # characters of a reason in a message
# Words of a `status` that is around records.
FAILED: Final = frozenset(
    {"error", "fail", "failed", "failure", "denied", "invalid", "limit", "exceeded", "unauthorized", "forbidden"}
)
# Fields around records that only errors have, and the fields of an error object; case and punctuation are ignored.
_ERROR_FIELDS: Final = ("error", "errorcode", "errormessage", "errormsg", "fault", "exception")
_MESSAGES: Final = frozenset({"message", "msg", "detail", "title", "description", "code", "requestid", "traceid"})
_ERROR_WORDS: Final = frozenset({*_ERROR_FIELDS, "errors"})
_BESIDE_ERRORS: Final = frozenset({"status", "statuscode", "success", "ok", "type", "object"})
_NOTHING: Final[tuple[Any, ...]] = (None, "", 0, "0", False, [], {})
_GOOD_CODES: Final = frozenset({"", "0", *map(str, range(200, 300))})
_FINE: Final = frozenset({"ok", "okay", "success", "successful", "succeeded", "none"})
_NO_MARKS: Final = str.maketrans("", "", "_- ")


def reports_failure(envelope: dict[str, Any], data_path: str, *, has_records: bool) -> bool:
    """Whether an object around records reports that the request failed. A count in `errors` is not a list of errors.

    Without `data_path` the answer may itself be the record, and all but its `error` and `success` its fields.
    """
    if envelope.get("error") or any(envelope.get(name) is False for name in ("success", "ok")):
        return True
    errors = envelope.get("errors")
    if errors and isinstance(errors, list | dict | str):
        return True
    if not data_path:
        return False
    fields = {name.lower().translate(_NO_MARKS): value for name, value in envelope.items()}
    return (
        any(fields.get(name) not in _NOTHING for name in _ERROR_FIELDS)
        or any(str(fields.get(name)).lower() == "false" for name in ("success", "ok"))
        or any(_is_failure(fields.get(name)) for name in ("status", "statuscode"))
        or (not has_records and _has_error_code(fields))
    )


def only_tells(answer: Any) -> bool:
    """Whether an answer is an object that has nothing but a message, as some APIs report errors under 200."""
    return (
        isinstance(answer, dict)
        and bool(answer)
        and all(name.lower().translate(_NO_MARKS) in _MESSAGES or value is None for name, value in answer.items())
        and any(value is not None for value in answer.values())
    )


def reported_error(record: Mapping[str, Any]) -> str | None:
    """Return the reason of an error that appears in place of a record; None when it does not report one.

    A field counts if it has a name that errors have and holds more than a number: `errors: 3` may be a metric.
    """
    for name, value in record.items():
        if names_error(name) and value and isinstance(value, str | list | dict) and word_of(value) not in _FINE:
            return reason_of(value)[:SHOWN_MAX]
    return None


def names_error(name: str) -> bool:
    """Whether a field is named as errors are: `error`, `errors`, `error_message`."""
    return name.lower().translate(_NO_MARKS) in _ERROR_WORDS or name.lower().startswith(("error_", "error."))


def has_only_error(record: Mapping[str, Any]) -> bool:
    """Whether an object has an error and nothing beside that says more about it."""
    names = {name.lower().translate(_NO_MARKS) for name in record}
    return reported_error(record) is not None and names <= _ERROR_WORDS | _MESSAGES | _BESIDE_ERRORS


def _is_failure(status: Any) -> bool:
    if isinstance(status, int | Decimal) and not isinstance(status, bool):
        return 400 <= status < 600
    if not isinstance(status, str):
        return False
    return (status.isdecimal() and len(status) == 3 and status[0] in "45") or not FAILED.isdisjoint(
        status.lower().replace("-", "_").replace(" ", "_").split("_")
    )


def _has_error_code(fields: dict[str, Any]) -> bool:
    """A code beside a message, where neither is a word for success: `{"code": 50011, "msg": "Too Many Requests"}`."""
    code, message = fields.get("code"), fields.get("msg") or fields.get("message")
    if not message or word_of(message) in _FINE or isinstance(code, bool | float | dict | list | None):
        return False
    return str(code).strip() not in _GOOD_CODES and word_of(str(code)) not in _FINE


def word_of(value: Any) -> str:
    """Return what follows the last # of a text, in lower case and without marks; empty for anything else."""
    return value.rpartition("#")[2].lower().translate(_NO_MARKS) if isinstance(value, str) else ""


def reason_of(answer: Any) -> str:
    """Return the first text that a provider gives in `error`, `errors` or beside them."""
    if isinstance(answer, list):
        return "; ".join(reason_of(each) for each in answer[:3])
    if not isinstance(answer, dict):
        return str(answer)
    for name in ("error", "errors", "message", "detail", "error_description", "title", "reason", "code"):
        if answer.get(name) and answer[name] is not True:
            return reason_of(answer[name])
    return str(answer)
