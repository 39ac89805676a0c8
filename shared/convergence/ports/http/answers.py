"""What an answer means: its value, or the error that says who must act."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import httpx
import orjson

from convergence.errors import ConvergenceError, CredentialRejected, PageNotFound, StepFailed, Throttled, Transient
from convergence.ports.http.json_text import read_json
from convergence.ports.http.waits import rate_limit_wait_s, retry_after_s

Redact = Callable[[str], str]
_MASKED_MAX: Final = 8_192  # characters of a provider's reason that are looked at
_SHOWN_MAX: Final = 300
BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
REFUSED: Final = frozenset({401, 403})
# Words of a `status` that is around records.
FAILED: Final = frozenset(
    {"error", "fail", "failed", "failure", "denied", "invalid", "limit", "exceeded", "unauthorized", "forbidden"}
)
# Fields around records that only errors have, and of what an object consists that is one; without case and marks.
_ERROR_FIELDS: Final = ("error", "errorcode", "errormessage", "errormsg", "fault", "exception")
_MESSAGES: Final = frozenset({"message", "msg", "detail", "title", "description", "code", "requestid", "traceid"})
_ERROR_WORDS: Final = frozenset({*_ERROR_FIELDS, "errors"})
_BESIDE_ERRORS: Final = frozenset({"status", "statuscode", "success", "ok", "type", "object"})
_NOTHING: Final[tuple[Any, ...]] = (None, "", 0, "0", False, [], {})
_GOOD_CODES: Final = frozenset({"", "0", *map(str, range(200, 300))})
_FINE: Final = frozenset({"ok", "okay", "success", "successful", "succeeded", "none"})
# Reasons that mean "slow down" under other statuses than 429, without case and marks.
RATE_LIMITS: Final = frozenset(
    {
        *("ratelimitexceeded", "userratelimitexceeded", "quotaexceeded", "dailylimitexceeded"),  # Google
        *("resourceexhausted", "ratelimited", "ratelimit", "ratelimiterror", "toomanyrequests"),
        *("throttled", "throttling", "throttlingexception", "requestlimitexceeded", "slowdown"),  # AWS, GraphQL
    }
)
_REASONS: Final = ("reason", "status", "code", "type", "__type", "error")
_NO_MARKS: Final = str.maketrans("", "", "_- ")


async def read_body(response: httpx.Response, where: str, *, bytes_max: int) -> bytes:
    """Return the body of an answer that is still coming.

    Raises:
        StepFailed: it has more than `bytes_max` bytes. It is decompressed piece by piece: a small answer cannot swell
            unseen.
    """
    body = bytearray()
    pieces = response.aiter_bytes() if "content-encoding" in response.headers else response.aiter_raw()
    async for piece in pieces:
        body += piece
        if len(body) > bytes_max:
            raise StepFailed(f"{where} sends more than {bytes_max // 2**20} MiB in one answer: ask for smaller pages")
    return bytes(body)


def parsed(
    response: httpx.Response, body: bytes, where: str, *, exact: bool, data_path: str = "", redact: Redact = str
) -> Any:
    """Return the value of a good answer, whose records are at `data_path`: what is there is data, not an error.

    Raises:
        StepFailed: markup instead of JSON, or an error under the status 200.
        Throttled: an error under the status 200 whose reason is a rate limit.
        Transient: JSON that ends too early.
    """
    kind = response.headers.get("content-type", "")
    if "html" in kind or body.lstrip()[:1] == b"<":
        raise StepFailed(f"{where} answers {kind or 'markup'} instead of JSON: check the base URL")
    try:
        answer = read_json(body, exact=exact)
    except ValueError as error:
        raise Transient(f"{where} answers with broken JSON ({len(body)} bytes)") from error
    has_records = bool(_at(answer, data_path))
    for envelope in _envelopes(answer, data_path):
        if _reports_failure(envelope, data_path, has_records=has_records):
            if _is_rate_limit(envelope):
                raise Throttled(
                    f"{where} answers {response.status_code} with a rate limit: {_message(envelope, redact)}",
                    retry_after_s=0.0,
                )
            raise StepFailed(f"{where} answers {response.status_code} with an error: {_message(envelope, redact)}")
    return answer


def objects(value: Any) -> list[dict[str, Any]]:
    """Return a list of objects as it is. Raises `TypeError` for anything else, null included."""
    if not isinstance(value, list):
        raise TypeError(f"a {type(value).__name__} where a list was expected")
    for each in value:
        if not isinstance(each, dict):
            raise TypeError(f"a {type(each).__name__} where an object was expected")
    return value


def _at(answer: Any, data_path: str) -> Any:
    for key in data_path.split(".") if data_path else ():
        answer = answer.get(key) if isinstance(answer, dict) else None
    return answer


def _envelopes(answer: Any, data_path: str) -> Iterator[dict[str, Any]]:
    """Yield the objects around the records, the outermost first."""
    for key in data_path.split("."):
        if not isinstance(answer, dict):
            return
        yield {name: value for name, value in answer.items() if name != key}
        answer = answer.get(key)


def _reports_failure(envelope: dict[str, Any], data_path: str, *, has_records: bool) -> bool:
    """Whether an object around records says that the request failed. A count in `errors` is not a list of errors.

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
    """Return the reason of an error in the place of a record; None when it reports none.

    A field counts that is named as errors are and holds more than a number: `errors: 3` may be a metric.
    """
    for name, value in record.items():
        if names_error(name) and value and isinstance(value, str | list | dict) and _word(value) not in _FINE:
            return _reason(value)[:_SHOWN_MAX]
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
    if not message or _word(message) in _FINE or isinstance(code, bool | float | dict | list | None):
        return False
    return str(code).strip() not in _GOOD_CODES and _word(str(code)) not in _FINE


def refused(
    response: httpx.Response, body: bytes, where: str, *, renew: str, now: float, redact: Redact = str
) -> ConvergenceError:
    """Return the error of an answer that has none of the data; `now` in Unix seconds, for waits given as a date."""
    status = response.status_code
    wait_s = retry_after_s(response.headers, now)
    if status == 202:
        if wait_s is not None:
            return Throttled(f"{where} answers 202: the data is not ready yet", retry_after_s=wait_s)
        return Transient(f"{where} answers 202: the data is not ready yet, and it does not say when")
    if status in BUSY or status >= 500:
        if wait_s is not None or status == 429:
            return Throttled(f"{where} answers {status}", retry_after_s=wait_s or 0.0)
        return Transient(f"{where} answers {status}")
    message = _parsed_or_none(body)
    if status == 403 and wait_s is None:
        wait_s = rate_limit_wait_s(response.headers, now)
    if (status == 403 and wait_s is not None) or (400 <= status < 500 and status != 401 and _is_rate_limit(message)):
        return Throttled(f"{where} answers {status}: a rate limit is used up", retry_after_s=wait_s or 0.0)
    if status in REFUSED:
        # The provider's own words are left out: they may quote the key.
        reason = "does not recognize the credential" if status == 401 else "says that the credential lacks a permission"
        return CredentialRejected(f"{where} {reason} ({status}). {renew}".rstrip())
    if 300 <= status < 400:
        return StepFailed(f"{where} redirects ({status}): set the final base URL")
    reason = "no reason given" if message is None else _message(message, redact)
    return (PageNotFound if status == 404 else StepFailed)(f"{where} refuses the request ({status}): {reason}")


def _parsed_or_none(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        return None


def _is_rate_limit(answer: Any) -> bool:
    """Whether an error names a rate limit as its reason: Google, Azure, AWS and GraphQL say it in different places."""
    return any(_word(part.get(name)) in RATE_LIMITS for part in _parts(answer) for name in _REASONS)


def _parts(answer: Any, depth: int = 5) -> Iterator[dict[str, Any]]:
    if isinstance(answer, dict):
        yield answer
        inner = [answer.get(name) for name in ("error", "errors", "details", "extensions")]
    else:
        inner = answer[:20] if isinstance(answer, list) else []
    if depth:
        for each in inner:
            yield from _parts(each, depth - 1)


def _word(value: Any) -> str:
    return value.rpartition("#")[2].lower().translate(_NO_MARKS) if isinstance(value, str) else ""


def _message(answer: Any, redact: Redact) -> str:
    """Return the provider's reason, without the step's secrets: they are masked before the text is cut."""
    return redact(_reason(answer)[:_MASKED_MAX])[:_SHOWN_MAX]


def _reason(answer: Any) -> str:
    """Return the first text that a provider gives in `error`, `errors` or beside them."""
    if isinstance(answer, list):
        return "; ".join(_reason(each) for each in answer[:3])
    if not isinstance(answer, dict):
        return str(answer)
    for name in ("error", "errors", "message", "detail", "error_description", "title", "reason", "code"):
        if answer.get(name) and answer[name] is not True:
            return _reason(answer[name])
    return str(answer)
