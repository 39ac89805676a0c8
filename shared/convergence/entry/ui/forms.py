"""Read the forms of pages: same origin, the session's token, and no more than a form can hold."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, Request

from convergence.entry.api.runtime import request_state, runtime_of
from convergence.errors import Denied, InvalidInput

TOKEN: Final = "csrf"  # noqa: S105 - the name of a field
_FIELDS_MAX: Final = 500
Fields = Mapping[str, str]


class Form(dict[str, str]):
    """The fields of a form, text by name; `many` gives all values of one name."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def many(self, name: str) -> list[str]:
        """Return the values of the fields with this name, such as ticked boxes."""
        return [value for each, value in self._pairs if each == name]


async def read_form(request: Request) -> Form:
    """Return the fields of a form that a page of ours sent. Raises `Denied`, `InvalidInput`."""
    check_origin(request)
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX, errors="strict")
    except ValueError as error:  # UnicodeDecodeError is one
        raise InvalidInput(f"the form cannot be read; it may have {_FIELDS_MAX} fields of UTF-8 text") from error
    return Form([(name, value.replace("\r\n", "\n")) for name, value in pairs])


async def _signed_form(request: Request) -> Form:
    form = await read_form(request)
    expected = runtime_of(request).sessions.token(request_state(request).session)
    if not hmac.compare_digest(form.pop(TOKEN, "").encode(), expected.encode()):
        raise Denied("This form belongs to another session; go back, load the page again and send it once more.")
    return form


def check_origin(request: Request) -> None:
    """Raise `Denied` for a form that a page of another site sent."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
    if site not in ("same-origin", "none") or foreign:
        raise Denied("This form was sent by a page of another site.")


Signed = Annotated[Form, Depends(_signed_form)]
