"""What an answer means: its value, or the error that says who must act."""

from __future__ import annotations

from typing import Any, Final

import httpx
import orjson

from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, Throttled, Transient
from convergence.processors.json_text import read_json
from convergence.processors.waiting import retry_after_s

BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
REFUSED: Final = frozenset({401, 403})


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


def parsed(response: httpx.Response, body: bytes, where: str, *, exact: bool) -> Any:
    """Return the value of a good answer.

    Raises:
        StepFailed: markup instead of JSON, or an error under the status 200.
        Transient: JSON that ends too early.
    """
    kind = response.headers.get("content-type", "")
    if "html" in kind or body.lstrip()[:1] == b"<":
        raise StepFailed(f"{where} answers {kind or 'markup'} instead of JSON: check the base URL")
    try:
        answer = read_json(body, exact=exact)
    except ValueError as error:
        raise Transient(f"{where} answers with broken JSON ({len(body)} bytes)") from error
    if isinstance(answer, dict) and answer.get("error"):
        raise StepFailed(f"{where} answers 200 with an error: {_message(answer)}")
    return answer


def refused(response: httpx.Response, body: bytes, where: str, *, renew: str, now: float) -> ConvergenceError:
    """Return the error of an answer that is none; `now` in Unix seconds, for a Retry-After that is a date."""
    status = response.status_code
    if status in REFUSED:
        # The provider's own words are left out: they may quote the key.
        said = "does not know the credential" if status == 401 else "says that the credential lacks a permission"
        return CredentialRejected(f"{where} {said} ({status}). {renew}".rstrip())
    if status in BUSY or status >= 500:
        wait_s = retry_after_s(response.headers, now)
        if wait_s is not None or status == 429:
            return Throttled(f"{where} answers {status}", retry_after_s=wait_s or 0.0)
        return Transient(f"{where} answers {status}")
    if 300 <= status < 400:
        return StepFailed(f"{where} redirects ({status}): set the final base URL")
    try:
        said = _message(orjson.loads(body))
    except ValueError:
        said = "no reason given"
    return StepFailed(f"{where} refuses the request ({status}): {said}")


def _message(answer: Any) -> str:
    said = answer.get("error", answer) if isinstance(answer, dict) else answer
    text = said.get("message", said) if isinstance(said, dict) else said
    return str(text)[:300]
