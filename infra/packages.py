"""Packages of the functions: `build/{function}/` and a zip of it, which Terraform uploads.

usage: python -m infra.packages [OUT] [--configs DIR]

The same input gives the same bytes: entries are sorted and have no times. Requirements are the lines of the lock that
the function's extras reach, with their hashes.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from convergence.config.files.functions import FILE, FunctionFile, read_function
from infra.project import LOCKS, PROJECT, ROOT, requirements_of

SOURCE_MAX: Final = 4_000_000  # code and configs (ADR 22); the API and the dashboard are 0.5 MB of it
INSTALLED_MAX: Final = 90_000_000  # without bytecode
ZIPPED_MAX: Final = 30_000_000  # source and what is installed
STORES_MAX: Final = (40_000_000, 19_000_000)  # more for a function that reads files where they are delivered (ADR 17)
# Of the package, what no function imports: the embedded mode, the command line, the operator's checks, the sandbox.
LEFT_OUT: Final = (
    "__main__.py", "adapters/gcp/deployment", "bootstrap/deployment.py", "entry/cli", "sandbox", "worker.py",
)  # fmt: skip
API_ONLY: Final = ("entry/api", "entry/ui")  # what a function without `http: public` does not import either
EDITORS: Final = "pipeline.schema.json"  # of configs: editors read it; the code has the models that it is made from
STEPS: Final = "step-ready"  # only steps load seeds, such as price lists
LOCAL_KEPT: Final = ("__init__.py", "clock.py")  # of adapters/local
RUNTIME: Final[dict[str, str]] = {
    **{name: str(value) for name, value in default_environment().items()},
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}


@dataclass(frozen=True, slots=True)
class Package:
    """One function's package: its folder, its zip, and that one's SHA-256."""

    function: FunctionFile
    folder: Path
    zip: Path
    digest: str
    requirements: tuple[str, ...]  # names

    @property
    def limits(self) -> tuple[int, int]:
        """Bytes that may be installed for it, and those bytes zipped with its source."""
        more = STORES_MAX if "files" in self.function.extras else (0, 0)
        return INSTALLED_MAX + more[0], ZIPPED_MAX + more[1]

    @property
    def source_bytes(self) -> int:
        """Size of its code and configs."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and path.name != "requirements.txt")
        return sum(path.stat().st_size for path in files)


def build(out: Path, configs: Path | None = None, *, only: str = "*") -> list[Package]:
    """Make the packages of all functions (or of `only` one) below `out`; files of `configs` lie over the shipped."""
    return [_build(path.parent, out, configs) for path in sorted((ROOT / "functions").glob(f"{only}/{FILE}"))]


def _build(function_dir: Path, out: Path, configs: Path | None) -> Package:
    function = read_function(function_dir)
    folder = out / function.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("main.py", FILE):
        shutil.copyfile(function_dir / name, folder / name)
    for source in (ROOT / "configs", *([] if configs is None else [configs])):
        unread = {path for path in _files(source) if path == EDITORS or (_is_seed(path) and not _has_steps(function))}
        _copy(source, folder / "configs", unread)
    package = ROOT / "shared" / "convergence"
    _copy(package, folder / "convergence", {path for path in _files(package) if _left_out(path, function)})
    about = folder / f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}.dist-info" / "METADATA"
    about.parent.mkdir()  # how the code learns its version: what is not installed has no metadata
    about.write_text(f"Metadata-Version: 2.1\nName: {PROJECT['name']}\nVersion: {PROJECT['version']}\n", "utf-8")
    names, text = requirements(function)
    (folder / "requirements.txt").write_text(text, "utf-8")
    archive = out / f"{function.name}.zip"
    _zip(folder, archive)
    return Package(function, folder, archive, hashlib.sha256(archive.read_bytes()).hexdigest(), names)


def _is_seed(path: str) -> bool:
    return path.endswith(".csv") and "seed" in path.split("/")[:-1]


def _has_steps(function: FunctionFile) -> bool:
    return any(trigger.topic == STEPS for trigger in function.triggers)


def _left_out(path: str, function: FunctionFile) -> bool:
    names = LEFT_OUT if function.http == "public" else LEFT_OUT + API_ONLY
    if any(path == each or path.startswith(f"{each}/") for each in names):
        return True
    local = "adapters/local/"
    return path.startswith(local) and path.removeprefix(local) not in LOCAL_KEPT


def _files(root: Path) -> Iterator[str]:
    """Yield the files below a folder, sorted, without bytecode and hidden ones."""
    for path in sorted(root.rglob("*")):
        inner = path.relative_to(root)
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in inner.parts):
            yield inner.as_posix()


def _copy(source: Path, target: Path, without: set[str] | None = None) -> None:
    for name in _files(source):
        if name not in (without or ()):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)


def _zip(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name in _files(folder):
            entry = zipfile.ZipInfo(name)  # of 1980-01-01
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, (folder / name).read_bytes())


def requirements(function: FunctionFile) -> tuple[tuple[str, ...], str]:
    """Return the names that a function needs, and the lines of the lock that pin them."""
    wanted = {canonicalize_name(each) for each in _reached(("function", *function.extras))}
    lines = {name: text for name, text in _locked().items() if name in wanted}
    missing = wanted - lines.keys()
    if missing:
        raise SystemExit(f"infra/requirements/gcp.txt has no {', '.join(sorted(missing))}; run: make lock")
    return tuple(lines), "".join(lines.values())


def _reached(extras: tuple[str, ...]) -> set[str]:
    """Return every distribution that these extras of ours ask for, directly or not, on the functions' runtime."""
    queue = [Requirement(f"convergence-pipelines[{','.join(extras)}]")]
    seen: set[str] = set()
    while queue:
        for asked in requirements_of(queue.pop(), RUNTIME):
            if str(asked) not in seen:
                seen.add(str(asked))
                queue.append(asked)
    return {Requirement(text).name for text in seen} - {"convergence-pipelines"}


@cache
def _locked() -> Mapping[str, str]:
    """Return the lock's text for each distribution, in the lock's order."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", (LOCKS / "gcp.txt").read_text("utf-8"), flags=re.MULTILINE)
    return {canonicalize_name(block.partition("==")[0]): block for block in blocks if "==" in block}


@cache
def installed_size(name: str) -> tuple[int, int]:
    """Return the bytes of an installed distribution without bytecode, and those bytes deflated."""
    plain = deflated = 0
    for file in metadata.distribution(name).files or ():
        path = Path(str(file.locate()))
        if path.suffix != ".pyc" and path.is_file() and ".." not in file.parts:
            data = path.read_bytes()
            plain, deflated = plain + len(data), deflated + len(zlib.compress(data, 9))
    return plain, deflated


def main() -> int:
    """Make all packages and print their sizes; 1 when one is over its limit."""
    parser = argparse.ArgumentParser(prog="python -m infra.packages")
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "build" / "functions")
    parser.add_argument("--configs", type=Path, help="a configs folder of your own, over the shipped one")
    words = parser.parse_args()
    over = False
    sys.stdout.write(f"{'function':12} {'source':>10} {'installed':>12} {'zipped':>11}  sha256 of the source\n")
    for package in build(words.out, words.configs):
        sizes = [installed_size(name) for name in package.requirements]
        source, installed = package.source_bytes, sum(plain for plain, _ in sizes)
        zipped = package.zip.stat().st_size + sum(deflated for _, deflated in sizes)
        name, limits = package.function.name, (SOURCE_MAX, *package.limits)
        sys.stdout.write(f"{name:12} {source:10,} {installed:12,} {zipped:11,}  {package.digest[:16]}\n")
        if source > limits[0] or installed > limits[1] or zipped > limits[2]:
            over = True
            sys.stdout.write("{} is over its limit: {:,}, {:,}, {:,} bytes.\n".format(name, *limits))
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
