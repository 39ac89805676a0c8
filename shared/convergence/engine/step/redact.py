"""Secrets that a step opened must not leave it: not in results, errors or logs."""

from __future__ import annotations

import base64
import json
import logging
import sys
from collections.abc import Collection, Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import quote

MASK: Final = "[secret]"
_SHORTEST: Final = 6  # shorter ones would mask half a text by chance


def redact(value: Any, secrets: Collection[str]) -> Any:
    """Return `value` (JSON) with each secret masked, also where it is URL-quoted or base64-encoded."""
    if not secrets:
        return value
    forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
    return _scrub(value, sorted(forms, key=len, reverse=True))  # the longest first: one may begin with another


def _forms(secret: str) -> list[str]:
    """Return how a secret looks as it is, in a URL, encoded, and escaped inside JSON or a Python literal."""
    data = secret.encode()
    encoded = [base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()]
    escaped = [json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]]
    return [secret, quote(secret, safe=""), *encoded, *escaped]


def _scrub(value: Any, forms: list[str]) -> Any:
    if isinstance(value, str):
        for form in forms:
            value = value.replace(form, MASK)
        return value
    if isinstance(value, Mapping):
        return {_scrub(key, forms): _scrub(item, forms) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrub(item, forms) for item in value]
    return value


class ScrubbingLogger(logging.LoggerAdapter[logging.Logger]):
    """A step's logger: names org, run and step, and masks what the step opened."""

    def __init__(self, logger: logging.Logger, opened: Collection[str], **labels: str) -> None:
        super().__init__(logger, labels)
        self._opened = opened

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the labels."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Format first, then mask: a secret may hide in an argument. A traceback becomes text for the same reason."""
        if not self.isEnabledFor(level):
            return
        text = _formatted(msg, args)
        error = kwargs.pop("exc_info", None)
        if error is True or isinstance(error, tuple):
            error = sys.exc_info()[1] if error is True else error[1]
        if isinstance(error, BaseException):
            text += "\n" + logging.Formatter().formatException((type(error), error, error.__traceback__))
        super().log(level, "%s", redact(text, self._opened), **kwargs)


def _formatted(msg: object, args: tuple[object, ...]) -> str:
    """Return the message with its arguments, as logging does; a wrong format must not fail the step that logs."""
    if not args:
        return str(msg)
    try:
        return str(msg) % (args[0] if len(args) == 1 and isinstance(args[0], Mapping) and args[0] else args)
    except (TypeError, ValueError, KeyError):
        return f"{msg} {args}"
