"""A pipeline in the current form, as YAML: what older and wider forms translate to, and what `migrate-config` writes.

Reading the text again gives the same pipeline. Keys at their default are left out; anchors and merged keys are written
out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from convergence.config.loader import LoadedPipeline, parse_pipeline
from convergence.config.model.pipeline import Model, Pipeline
from convergence.config.yaml.comments import Comment, comments_of
from convergence.config.yaml.positions import KeyPath

# Field of the model → key, where the two differ; fields that follow from others have none.
_KEYS: Final[Mapping[str, str | None]] = {"timeout_s": "timeout_seconds", "path": None, "strict_names": None}
_WIDTH: Final = 110


def current_text(loaded: LoadedPipeline) -> str:
    """Return the pipeline as YAML in the current form, without comments."""
    return yaml.dump(_plain(loaded.pipeline), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


def migrated_text(loaded: LoadedPipeline, written: str) -> str:
    """Return `current_text` with the comments of the original text.

    A comment is placed above the key that it was above or beside.
    """
    text = current_text(loaded)
    again = parse_pipeline(text, loaded.path, file=loaded.file)
    assert again.pipeline == loaded.pipeline, "the current form means the same"
    lines: list[str] = text.splitlines()
    found = comments_of(written)
    head = [comment.text for comment in found if comment.heads_file]
    places = [
        ((_line(comment, loaded, again), number), comment)
        for number, comment in enumerate(found)
        if not comment.heads_file
    ]
    for (line, _), comment in sorted(places, key=lambda place: place[0], reverse=True):
        indented = lines[line] if line < len(lines) else ""
        lines.insert(line, " " * (len(indented) - len(indented.lstrip(" "))) + comment.text)
    return "\n".join([*head, *lines]) + "\n"


def _line(comment: Comment, loaded: LoadedPipeline, again: LoadedPipeline) -> int:
    """Return the index of the line in the current text above which the comment belongs; the length for the end."""
    marks = loaded.positions.marks
    below = [path for path, (line, _) in marks.items() if path and line >= comment.line]
    if not below:
        return len(current_text(loaded).splitlines())
    written = min(below, key=lambda path: (marks[path], len(path)))
    where = again.where(_normal(loaded, written)).split(":")
    return int(where[1]) - 1


def _normal(loaded: LoadedPipeline, written: KeyPath) -> KeyPath:
    """Return the path in the model of a key of the file."""
    normal = {origin: path for path, origin in loaded.positions.origins.items()}
    for cut in range(len(written), 0, -1):
        if written[:cut] in normal:
            return normal[written[:cut]] + written[cut:]
    return written


def _plain(model: Model) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value, key = getattr(model, name), _KEYS.get(name, name)
        always = field.is_required() or (isinstance(model, Pipeline) and name == "domain" and bool(value))
        if key is not None and (always or value != field.get_default(call_default_factory=True)):
            found[key] = _value(value)
    return found


def _value(value: Any) -> Any:
    if isinstance(value, Model):
        return _plain(value)
    if isinstance(value, Mapping):
        return {key: _value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_value(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Dumper(yaml.SafeDumper):
    """Multi-line texts as blocks, lists indented below their key, no aliases."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's signature
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
