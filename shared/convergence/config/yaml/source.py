"""YAML with the position of every key, and without the traps of the format.

The parser's events are read one by one, so nothing is built before it has been counted: deep nesting and alias
bombs end in an error instead of filling the memory (a recursive composer crashes the process on 5,000 open brackets).
Values are JSON: text, numbers, booleans, null, lists, mappings with text keys. Dates stay text.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final, NamedTuple

import yaml

from convergence.config.yaml.positions import KeyPath, Mark, Positions
from convergence.config.yaml.syntax import open_quote, syntax_message
from convergence.errors import WARNINGS_MAX, ConfigError, ConfigErrors

BYTES_MAX: Final = 1 << 20
DEPTH_MAX: Final = 64
NODES_MAX: Final = 50_000
CHARACTERS_MAX: Final = 4 << 20  # of all strings; those of an alias count each time

_CORE = "tag:yaml.org,2002:"
_SEXAGESIMAL = re.compile(r"[-+]?\d[\d_]*(?::[0-5]?\d)+(?:\.\d*)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-7_]+")
_TRUE, _FALSE = frozenset({"yes", "true", "on"}), frozenset({"no", "false", "off"})


class Source(NamedTuple):
    """The data of a file. `raw` has the characters of every scalar that YAML did not read as text."""

    data: Any
    positions: Positions
    raw: dict[KeyPath, str]
    problems: tuple[ConfigError, ...]
    warnings: tuple[ConfigError, ...] = ()


def read_yaml(content: bytes | str, file: str) -> Source:
    """Read one document. `file` is the name used in messages.

    Mistakes that leave the rest readable (a duplicate key, `02:00` without quotes) are returned as `problems`.

    Raises:
        ConfigErrors: the text is not YAML, not a single document, or over a limit.
    """
    text = _decode(content, file)
    reader = _Reader(text, file)
    try:
        data = reader.document()
    except yaml.MarkedYAMLError as error:
        if quote := reader.long_quote(error.problem_mark):
            raise ConfigErrors([quote]) from error
        mark = error.context_mark if open_quote(error) else error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        line = "".join(text.split("\n")[mark.line : mark.line + 1]) if mark else ""
        message = syntax_message(error, line, mark.column if mark else 0)
        raise ConfigErrors([ConfigError(message, where=where)]) from error
    except yaml.YAMLError as error:
        raise ConfigErrors([ConfigError(f"this is not YAML: {error}", where=file)]) from error
    return Source(
        data, Positions(file, reader.marks, reader.blocks), reader.raw, tuple(reader.problems), tuple(reader.warnings)
    )


def _decode(content: bytes | str, file: str) -> str:
    if len(content) > BYTES_MAX:
        message = f"the file has {len(content)} bytes, at most {BYTES_MAX} are read"
        raise ConfigErrors([ConfigError(message, where=file)])
    if isinstance(content, str):
        return content.removeprefix("\ufeff")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigErrors([ConfigError("the file is not UTF-8", where=f"{file}:{line}")]) from error


_Event = Any  # the C parser's events are untyped


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._loader = loader(text)
        self._file = file
        self._nodes = self._characters = 0
        self._latest: _Event = None
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self.marks: dict[KeyPath, Mark] = {}
        self.blocks: dict[KeyPath, int] = {}
        self.raw: dict[KeyPath, str] = {}
        self.problems: list[ConfigError] = []
        self.warnings: list[ConfigError] = []

    def document(self) -> Any:
        self._next()  # the stream starts
        if isinstance(self._next(), yaml.StreamEndEvent):
            message = "the file is empty: write something into it, or remove it"
            raise ConfigErrors([ConfigError(message, where=f"{self._file}:1")])
        data = self._node(self._next(), ())
        self._next()  # the document ends
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._stop(event, "a file may hold only one document: remove the `---` between them")
        return data

    def _next(self) -> _Event:
        self._latest = self._loader.get_event()
        return self._latest

    def long_quote(self, problem: Any) -> ConfigError | None:
        """Return where a quote opens that swallowed lines up to the next quote, after which nothing can be read."""
        latest: Any = self._latest
        if not isinstance(self._latest, yaml.ScalarEvent) or latest.style not in {"'", '"'} or problem is None:
            return None
        last = latest.end_mark.line
        if last == latest.start_mark.line or last != problem.line:
            return None
        message = f"the quote that opens here ends only at the quote on line {last + 1}: close it on its line"
        return ConfigError(message, where=self._at(latest))

    def _stop(self, event: _Event, message: str) -> ConfigErrors:
        return ConfigErrors([ConfigError(message, where=self._at(event))])

    def _at(self, event: _Event) -> str:
        return f"{self._file}:{event.start_mark.line + 1}:{event.start_mark.column + 1}"

    def _not_core(self, event: _Event) -> ConfigErrors:
        tag = str(event.tag).replace(_CORE, "!!")
        return self._stop(
            event, f"the tag {tag} is not allowed, remove it: only text, numbers, booleans, lists and mappings are"
        )

    def _report(self, event: _Event, message: str) -> None:
        self.problems.append(ConfigError(message, where=self._at(event)))

    def _count(self, event: _Event, nodes: int = 1, characters: int = 0) -> None:
        self._nodes += nodes
        if self._nodes > NODES_MAX:
            raise self._stop(event, f"the file has more than {NODES_MAX} values (aliases count each time)")
        self._characters += characters
        if self._characters > CHARACTERS_MAX:
            raise self._stop(event, f"the file has more than {CHARACTERS_MAX:,} characters (aliases count each time)")

    def _node(self, event: _Event, path: KeyPath) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before, start = self._nodes, self._characters
        self._count(event, characters=len(event.value) if isinstance(event, yaml.ScalarEvent) else 0)
        if path not in self.marks:  # the mark of a mapping's entry is its key
            self.marks[path] = (event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, path)
        elif len(path) >= DEPTH_MAX:
            raise self._stop(event, f"nested deeper than {DEPTH_MAX} levels")
        elif event.tag is not None and event.tag not in {_CORE + "map", _CORE + "seq"}:
            raise self._not_core(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(path)
        else:
            value = self._mapping(path)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._nodes - before, self._characters - start)
        return value

    def _alias(self, event: _Event) -> Any:
        if event.anchor not in self._anchors:
            raise self._stop(event, f"the alias *{event.anchor} refers to nothing before it, or to itself")
        value, nodes, characters = self._anchors[event.anchor]
        self._count(event, nodes, characters)
        return value

    def _sequence(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event)
            if key == "<<" and not event.style:
                self._merge(event, merged, self._node(self._next(), (*path, key)))
                continue
            at = (*path, key)
            if key in found:
                line = self.marks[at][0]
                self._report(event, f"the key {key!r} appears twice (first on line {line}): remove one")
                self._node(self._next(), (*path, key, "twice"))
                continue
            self.marks[at] = (event.start_mark.line + 1, event.start_mark.column + 1)
            found[key] = self._node(self._next(), at)
        return {**merged, **found}

    def _merge(self, event: _Event, merged: dict[str, Any], value: Any) -> None:
        for part in value if isinstance(value, list) else [value]:
            if not isinstance(part, dict):
                self._report(event, "`<<` takes a mapping, or a list of mappings")
                return
            for key, inner in part.items():
                merged.setdefault(key, inner)

    def _key(self, event: _Event) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._stop(event, 'a key must be plain text; a template as a value must be in quotes: "{name}"')
        self._count(event)
        tag = self._tag(event)
        if tag not in {"str", "timestamp", "merge", "value"}:
            kind = {"int": "number", "float": "number", "bool": "boolean"}.get(tag, tag)
            self._report(event, f"YAML reads the key {event.value} as a {kind}: write it in quotes")
        return str(event.value)

    def _tag(self, event: _Event) -> str:
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        return str(tag).removeprefix(_CORE)

    def _scalar(self, event: _Event, path: KeyPath) -> Any:
        text: str = event.value
        if event.style == "|":
            self.blocks[path] = event.start_mark.line + 2
        plain = not event.style and event.tag is None
        if plain and _SEXAGESIMAL.fullmatch(text):
            self._report(event, f'{text} must be in quotes ("{text}"): YAML reads it as a number in base 60')
            return text
        tag = self._tag(event)
        if tag in {"str", "timestamp", "merge", "value"}:
            return text
        self.raw[path] = text
        if tag == "null":
            return None
        if tag == "bool":
            return self._boolean(event)
        if tag in {"int", "float"}:
            return self._number(event, tag)
        raise self._not_core(event)

    def _boolean(self, event: _Event) -> Any:
        word = event.value.lower()
        if word not in _TRUE | _FALSE:
            self._report(event, f"{event.value!r} is not a boolean: use true or false")
        elif word not in {"true", "false"} and len(self.warnings) < WARNINGS_MAX:
            meant = str(word in _TRUE).lower()
            message = f'YAML reads {event.value} as {meant}: write {meant}, or "{event.value}" if it is text'
            self.warnings.append(ConfigError(message, where=self._at(event)))
        return word in _TRUE

    def _number(self, event: _Event, tag: str) -> Any:
        text: str = event.value.replace("_", "")
        try:
            if tag == "int":
                if _LEADING_ZERO.fullmatch(text):
                    self._report(event, f"{text} is octal in YAML: write it in quotes, or without the leading zero")
                    return 0
                integer = int(text, 0)
                if abs(integer) >= 1 << 63:
                    self._report(event, "an integer may have at most 64 bits: write it in quotes")
                    return 0
                return integer
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self._report(event, f"{event.value} is not a finite number")
            return 0
        return number
