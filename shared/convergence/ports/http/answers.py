"""What an answer means: its value, or the error that says who must act."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import orjson

from convergence.errors import ConvergenceError, CredentialRejected, PageNotFound, StepFailed, Throttled, Transient
from convergence.ports.http.json_text import read_json
from convergence.ports.http.reported_errors import SHOWN_MAX, reason_of, reports_failure, word_of
from convergence.ports.http.waits import rate_limit_wait_s, retry_after_s

Redact = Callable[[str], str]
_MASKED_MAX: Final = 8_192  # characters of a provider's reason that are inspected
BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
REFUSED: Final = frozenset({401, 403})
# Reasons that mean "slow down" under statuses other than 429; case and punctuation are ignored.
RATE_LIMITS: Final = frozenset(
    {
        *("ratelimitexceeded", "userratelimitexceeded", "quotaexceeded", "dailylimitexceeded"),  # Google
        *("resourceexhausted", "ratelimited", "ratelimit", "ratelimiterror", "toomanyrequests"),
        *("throttled", "throttling", "throttlingexception", "requestlimitexceeded", "slowdown"),  # AWS, GraphQL
    }
)
_REASONS: Final = ("reason", "status", "code", "type", "__type", "error")


async def read_body(response: httpx.Response, where: str, *, bytes_max: int) -> bytes:
    """Return the body of an answer that is still arriving.

    Raises:
        StepFailed: it has more than `bytes_max` bytes. It is decompressed piece by piece, so that a small answer cannot
            expand beyond the limit unnoticed.
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
        if reports_failure(envelope, data_path, has_records=has_records):
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
        # The provider's own message is left out: it may quote the key.
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
    return any(word_of(part.get(name)) in RATE_LIMITS for part in _parts(answer) for name in _REASONS)


def _parts(answer: Any, depth: int = 5) -> Iterator[dict[str, Any]]:
    if isinstance(answer, dict):
        yield answer
        inner = [answer.get(name) for name in ("error", "errors", "details", "extensions")]
    else:
        inner = answer[:20] if isinstance(answer, list) else []
    if depth:
        for each in inner:
            yield from _parts(each, depth - 1)


def _message(answer: Any, redact: Redact) -> str:
    """Return the provider's reason, without the step's secrets: they are masked before the text is cut."""
    return redact(reason_of(answer)[:_MASKED_MAX])[:SHOWN_MAX]
