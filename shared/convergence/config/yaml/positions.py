"""Key paths and their positions in a file: `steps[0].config.query` at `openai/cost.yml:12:5`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from convergence.errors import ConfigError

KeyPath = tuple[str | int, ...]
Mark = tuple[int, int]  # line and column, both from 1


def path_text(path: KeyPath) -> str:
    """Return `steps[0].config.query`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


@dataclass(frozen=True, slots=True)
class Positions:
    """Where each key of a file is.

    `origins` maps a key of the normalised form to the key that the author wrote, where the two differ. `blocks` has the
    line on which the text of a block scalar (`|`) begins.
    """

    file: str
    marks: Mapping[KeyPath, Mark]
    blocks: Mapping[KeyPath, int] = field(default_factory=dict)
    origins: Mapping[KeyPath, KeyPath] = field(default_factory=dict)

    def written(self, path: KeyPath) -> KeyPath:
        """Return the path as the author wrote it."""
        for cut in range(len(path), 0, -1):
            origin = self.origins.get(path[:cut])
            if origin is not None:
                return origin + path[cut:]
        return path

    def where(self, path: KeyPath, *, line: int | None = None) -> str:
        """Return `file:line:column` of the key, or of its nearest parent that the author wrote.

        `line` counts from 0 within the text of the value; it shifts the result when the value is a block scalar.
        """
        written = self.written(path)
        first = self.blocks.get(written)
        if line is not None and first is not None:
            return f"{self.file}:{first + line}"
        for cut in range(len(written), -1, -1):
            mark = self.marks.get(written[:cut])
            if mark is not None:
                return f"{self.file}:{mark[0]}:{mark[1]}"
        return self.file

    def problem(self, path: KeyPath, message: str, *, line: int | None = None) -> ConfigError:
        """Return the mistake `message` at `path`."""
        return ConfigError(message, where=self.where(path, line=line), path=path_text(self.written(path)))
