"""The configs folder: pipelines by path or alias, read on demand and cached until the file changes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convergence.config.files.kinds import Kind, kind_of
from convergence.config.files.shipped import shipped_configs
from convergence.config.loader import LoadedPipeline, load_pipeline
from convergence.errors import ConfigErrors, InvalidInput, NotFound, did_you_mean

if TYPE_CHECKING:
    from convergence.config.checks.processors import Target
    from convergence.config.checks.validation import Report
    from convergence.ports.sql_reader import SqlReader

_PART = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,249}"  # with its suffix no longer than a file's name can be
_NAME = re.compile(rf"{_PART}(/{_PART}){{0,5}}")
_SUFFIXES = (".yml", ".yaml")
_Stamp = tuple[int, int]  # mtime in ns, size
_Names = tuple[tuple[str, ...], str]  # aliases; provider/domain/file


class Catalog:
    """Pipelines below `root`. Files are read on demand.

    A file that changed (time or size) is read again; one that became invalid raises until it is repaired.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = str(root)
        self._loaded: dict[str, tuple[_Stamp, LoadedPipeline]] = {}
        self._names: dict[str, tuple[_Stamp, _Names]] = {}

    def names(self) -> list[str]:
        """Return the paths of all pipelines, sorted; aliases are not among them."""
        return sorted(file.relative_to(self.root).with_suffix("").as_posix() for file in self._files())

    def get(self, name: str) -> LoadedPipeline:
        """Return the pipeline at a path, or the one that has the name as an alias, or as `provider/domain/file`.

        Raises:
            NotFound: with the nearest names.
            InvalidInput: two files have the name.
            ConfigErrors: all mistakes of its file.
        """
        if _NAME.fullmatch(name):
            found = self._at(name) or self._by_other_name(name)
            if found is not None:
                return found
        if _NAME.fullmatch(name) and (shipped_configs() / f"{name}.yml").is_file():
            raise NotFound(
                f"Pipeline not found: {name}. The product ships it: convergence init FOLDER writes all that it ships;"
                f" copy the folder {name.partition('/')[0]}/ from there into your configs folder."
            )
        names = [*self.names(), *self.aliases()]
        provider, slash, _ = name.partition("/")
        providers = {known.partition("/")[0] for known in names}
        if slash and _NAME.fullmatch(name) and providers and provider not in providers:
            raise NotFound(f"Unknown provider: {provider[:100]}.{did_you_mean(provider, providers)}")
        known = did_you_mean(name, names)
        raise NotFound(f"Pipeline not found: {name[:200]}" + (f".{known}" if known else ""))

    def at(self, path: Path | str) -> LoadedPipeline:
        """Return the pipeline of one file, or of a name as for `get`.

        Raises:
            InvalidInput: the path is a folder, or is not a pipeline's file.
            Everything that `get` raises.
        """
        try:
            files = self._below(path)
        except NotFound:
            return self.get(str(path))
        if len(files) != 1 or kind_of(files[0].relative_to(self.root)) is not Kind.PIPELINE:
            raise InvalidInput(f"{str(path)!r} is not the file of one pipeline")
        return load_pipeline(files[0], self.root)

    def aliases(self) -> dict[str, str]:
        """Return alias → path; an alias of two files leads to the first. Broken files have none."""
        found: dict[str, str] = {}
        for path, (aliases, _) in self._other_names():
            for alias in aliases:
                found.setdefault(alias, path)
        return found

    def _by_other_name(self, name: str) -> LoadedPipeline | None:
        """Return the pipeline with this alias, else the one with this provider, domain and file name."""
        known = list(self._other_names())
        by_alias = [path for path, (aliases, _) in known if name in aliases]
        paths = by_alias or [path for path, (_, own) in known if name == own]
        if len(paths) > 1:
            raise InvalidInput(f"{name!r} could be {' or '.join(paths)}: name one of them")
        return self._at(paths[0]) if paths else None

    def _other_names(self) -> Iterator[tuple[str, _Names]]:
        """Yield each path with its aliases and `provider/domain/file`. A file is parsed again when it changes."""
        for file in self._files():
            path = file.relative_to(self.root).with_suffix("").as_posix()
            stat = file.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            known = self._names.get(path)
            if known is None or known[0] != stamp:
                known = self._names[path] = (stamp, self._read_names(path))
            yield path, known[1]

    def validate(
        self,
        paths: Sequence[Path | str] | None = None,
        *,
        target: Target = "embedded",
        reader: SqlReader | None = None,
    ) -> Report:
        """Check files of every kind below the configs folder: all, or those at or below `paths`.

        A path is a file, a folder, or a pipeline's name; relative ones are looked up here first. Processors that
        publish a model of their config check it; `target` "gcp" refuses steps too long for a deployed function.

        With `reader` the SQL of steps and procedures is read as a run would.

        Raises:
            InvalidInput: a path leads out of the configs folder.
            NotFound: nothing exists there.
        """
        from convergence.config.checks.validation import validate  # models of kinds that a run never reads

        found = (self._below(path) for path in paths) if paths else [_files_below(self.root)]
        files = sorted({file for each in found for file in each})
        return validate(self.root, files, everything=not paths, target=target, get=self.get, reader=reader)

    def _at(self, name: str) -> LoadedPipeline | None:
        for suffix in _SUFFIXES:
            path = f"{self._folder}/{name}{suffix}"
            try:
                stat = os.stat(path)  # noqa: PTH116 - called on every request; a Path costs more than the call
            except OSError:
                continue
            stamp = (stat.st_mtime_ns, stat.st_size)
            known = self._loaded.get(name)
            if known is not None and known[0] == stamp:
                return known[1]
            file = Path(path)
            if kind_of(file.relative_to(self.root)) is not Kind.PIPELINE or not self._inside(file):
                continue
            loaded = load_pipeline(file, self.root)
            self._loaded[name] = (stamp, loaded)
            return loaded
        return None

    def _read_names(self, path: str) -> _Names:
        try:
            loaded = self._at(path)
        except ConfigErrors:
            return (), ""
        if loaded is None:
            return (), ""
        pipeline = loaded.pipeline
        own = "/".join(filter(None, (pipeline.provider, pipeline.domain, path.rpartition("/")[2])))
        return pipeline.aliases, own

    def _files(self) -> Iterator[Path]:
        for suffix in _SUFFIXES:
            for file in sorted(self.root.rglob("*" + suffix)):
                if kind_of(file.relative_to(self.root)) is Kind.PIPELINE and self._inside(file):
                    yield file

    def _inside(self, file: Path) -> bool:
        return file.resolve().is_relative_to(self.root.resolve())

    def _below(self, path: Path | str) -> list[Path]:
        given = Path(path)
        candidates = [self.root / given, given, *(self.root / f"{given}{suffix}" for suffix in _SUFFIXES)]
        for candidate in candidates:
            if not os.path.exists(candidate):  # noqa: PTH110 - Path.exists raises for what cannot be a path
                continue
            if not self._inside(candidate):
                raise InvalidInput(f"{given} is not inside the configs folder {self.root}")
            inner = candidate.resolve().relative_to(self.root.resolve())
            whole = self.root / inner
            return [whole] if whole.is_file() else _files_below(whole)
        raise NotFound(f"there is no file, folder or pipeline {str(given)!r}.{did_you_mean(str(given), self.names())}")


def _files_below(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]
