"""Secrets that a step opened must not leave it: not in results, errors or logs."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final

from convergence.engine.step.decoded_text import PADDING, decoded
from convergence.engine.step.plain_text import PlainText, plain
from convergence.engine.step.secret_forms import SHORTEST, encoded, escaped, parts

MASK: Final = "[secret]"
_HEAD_MAX: Final = 16  # so much of the beginning of a long secret is enough: others may have cut the rest
_END: Final = 24  # characters in which a cut head is looked for
_SHORT: Final = 12  # a shorter one is recognised as a whole
_DEPTH_MAX: Final = 2  # of codes inside codes that are decoded; the innermost is recognised by its form
_COMMON: Final = ("-----begin", "{", "[")  # prefixes that reveal nothing about a secret
_MARKED: Final = re.compile(r"[.…\"')]{1,24}$")  # how a text shows that it was cut
_CUT: Final = re.compile(r"(?:%[0-9a-fA-F]?|&[#a-zA-Z0-9]{0,6}|u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?[.…\"')]{0,24}$")
_BASE64_EDGE: Final = 3  # characters beside an encoded secret that hold bits of it
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]")


class Redactor:
    """Masks the secrets of one execution, their parts, and encoded forms of both.

    A text is searched with its escapes undone (`plain_text`), so nested and mixed escapes need no forms of their own;
    what looks like base64, base32, hex or numbers of bytes is decoded and searched too (`decoded_text`). Upper and
    lower case are the same. The time is linear in the length of the text.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._parts: set[str] = set()
        self._forms: list[tuple[str, str, int]] = []  # (head, form, characters beside it that go too)
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Mask this from now on, too: an opened credential, or a token that was got with it."""
        if secret in self._known:
            return
        self._known.add(secret)
        found = parts(secret)
        self._parts |= found
        shown = {_lower(plain(form).text) for part in found for form in escaped(part)}
        coded = {_lower(plain(code).text) for part in found for code in encoded(part)}
        whole = _lower(plain(secret.strip()).text)
        several = (
            len({plain(part).text for part in found}) > 1
        )  # the whole begins with a name or a brace, which texts may hold
        for form, beside in (*((form, 0) for form in shown), *((form, _BASE64_EDGE) for form in coded)):
            if len(form) >= SHORTEST:
                self._forms.append((form if several and form == whole else _head(form), form, beside))
        self._forms.sort(key=lambda each: len(each[1]), reverse=True)

    def __call__(self, value: Any) -> Any:
        """Return `value` (JSON) with each secret masked."""
        if not self._known:
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {self(key): self(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self(item) for item in value]
        return value

    def _text(self, text: str, depth: int = 0) -> str:
        if len(text) < SHORTEST:
            return text
        found = [span for part in self._parts for span in _verbatim(text, part)]
        read = plain(text)
        read = PlainText(_lower(read.text), read.starts, read.ends)
        end = read.text[-_END:]
        for head, form, beside in self._forms:
            if head in read.text:
                found += _spans(text, read, head, form, beside)
            if form[:SHORTEST] in end:
                found += _cut_spans(text, read, head, form, beside)
        if depth < _DEPTH_MAX:
            found += [(start, end) for start, end, inner in decoded(text) if self._text(inner, depth + 1) != inner]
        return _masked(text, found) if found else text


def _lower(text: str) -> str:
    """Return the text in lower case, each character still one."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)


def _head(form: str) -> str:
    """Return the beginning by which a form is recognised: of a short one all."""
    return form if len(form) < _SHORT or form.startswith(_COMMON) else form[: min(_HEAD_MAX, len(form) * 3 // 4)]


def _verbatim(text: str, secret: str) -> Iterator[tuple[int, int]]:
    at = text.find(secret)
    while at >= 0:
        yield at, at + len(secret)
        at = text.find(secret, at + len(secret))


def _spans(text: str, read: PlainText, head: str, form: str, beside: int) -> Iterator[tuple[int, int]]:
    """Yield where the form, or its beginning, was written in the text."""
    at = read.text.find(head)
    while at >= 0:
        length = _common(form, read.text[at : at + len(form)])
        yield _widened(text, read.starts[at], read.ends[at + length - 1], beside)
        at = read.text.find(head, at + length)


def _cut_spans(text: str, read: PlainText, head: str, form: str, beside: int) -> Iterator[tuple[int, int]]:
    """Yield what a text ends with of a form's head: it may have been cut there, and inside an escape."""
    if head == form and len(form) >= _SHORT:
        return
    whole = read.text[-_END:]
    for end in {_CUT.sub("", whole), _MARKED.sub("", whole), whole}:
        for length in range(min(len(head), len(end)), SHORTEST - 1, -1):
            if end.endswith(form[:length]):
                first = len(read.text) - len(whole) + len(end) - length
                yield _widened(text, read.starts[first], read.ends[-1], beside)
                break


def _common(one: str, other: str) -> int:
    """Return how many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _widened(text: str, start: int, end: int, beside: int) -> tuple[int, int]:
    first, last = max(0, start - beside), min(len(text), end + beside)
    while start > first and _BASE64.match(text[start - 1]):
        start -= 1
    while end < last and _BASE64.match(text[end]):
        end += 1
    padding = PADDING.match(text, end) if beside else None
    return start, end if padding is None else padding.end()


def _masked(text: str, spans: list[tuple[int, int]]) -> str:
    pieces, done = list[str](), 0
    for start, end in _joined(spans):
        pieces += [text[done:start], MASK]
        done = end
    return "".join([*pieces, text[done:]])


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans that do not overlap, in order."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


class RedactingLogger(logging.LoggerAdapter[logging.Logger]):
    """A step's logger: names org, run and step, and masks what the step opened."""

    def __init__(self, logger: logging.Logger, redact: Redactor, **labels: str) -> None:
        super().__init__(logger, labels)
        self._redact = redact

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
        super().log(level, "%s", self._redact(text), **kwargs)


def _formatted(msg: object, args: tuple[object, ...]) -> str:
    """Return the message with its arguments, as logging does; a wrong format must not fail the step that logs."""
    if not args:
        return str(msg)
    try:
        return str(msg) % (args[0] if len(args) == 1 and isinstance(args[0], Mapping) and args[0] else args)
    except (TypeError, ValueError, KeyError):
        return f"{msg} {args}"
