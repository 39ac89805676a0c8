"""Does set-up install what the locks say, on any day?"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.project import LOCKS, PROJECT, ROOT, requirements_of

GROUPS = {
    "embedded": ["embedded", "build"],
    "gcp": ["gcp", "build"],
    "dev": ["embedded", "gcp", "aws", "azure", "zstd", "build", "dev"],
}


def locked(name: str) -> dict[str, str]:
    """Return version by canonical name of a lock file."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (LOCKS / f"{name}.txt").read_text(), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in pins}


@pytest.mark.parametrize("lock", GROUPS)
def test_a_lock_holds_every_requirement_of_its_requirements_with_their_extras(lock: str) -> None:
    pins = locked(lock)
    queue = [Requirement(f"{PROJECT['name']}[{','.join(GROUPS[lock])}]")]
    seen: set[str] = set()
    while queue:
        for asked in requirements_of(queue.pop()):
            name = canonicalize_name(asked.name)
            if name != canonicalize_name(PROJECT["name"]):
                assert name in pins, f"{asked} is not in {lock}.txt; run: make lock"
                assert asked.specifier.contains(pins[name], prereleases=True), f"{lock}.txt pins {pins[name]}: {asked}"
            if str(asked) not in seen:
                seen.add(str(asked))
                queue.append(asked)
    assert len(seen) > 40


def wheel(folder: Path, name: str, version: str, *requires: str) -> None:
    """Write the smallest wheel there is."""
    info = f"{name}-{version}.dist-info"
    lines = [f"Name: {name}", f"Version: {version}", "Provides-Extra: fast", *(f"Requires-Dist: {r}" for r in requires)]
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")


def install_flags() -> list[str]:
    match = re.search(r"^INSTALL := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert match
    return match.group(1).split()


def test_a_release_that_is_published_tomorrow_does_not_change_what_is_installed(tmp_path: Path) -> None:
    index, target = tmp_path / "index", tmp_path / "installed"
    index.mkdir()
    wheel(index, "client", "1.0", "auth[fast]>=1.0")  # as google-cloud-bigquery asks for google-auth[pyopenssl]
    wheel(index, "auth", "1.0")
    lines = []
    for name in ("auth", "client"):
        file = index / f"{name}-1.0-py3-none-any.whl"
        digest = subprocess.run([sys.executable, "-m", "pip", "hash", file], check=True, capture_output=True, text=True)
        lines.append(f"{name}==1.0 {digest.stdout.split()[-1]}")
    (tmp_path / "lock.txt").write_text("\n".join(lines))
    wheel(index, "auth", "1.1")  # published after the lock was made
    command = [sys.executable, "-m", "pip", *install_flags(), "--no-index", "--find-links", str(index)]
    done = subprocess.run(
        [*command, "--target", str(target), "-r", str(tmp_path / "lock.txt")],
        env={"PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": "/dev/null"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stdout + done.stderr, "set-up is quiet"
    assert sorted(path.name for path in target.glob("*.dist-info")) == ["auth-1.0.dist-info", "client-1.0.dist-info"]


def test_each_lock_is_installed_with_these_flags() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for lock in ("embedded", "dev"):
        assert f"pip $(INSTALL) -r $(LOCKS)/{lock}.txt" in makefile
    emulators = (ROOT / "tests" / "emulators" / "environment.py").read_text()
    assert all(f'"{flag}"' in emulators for flag in install_flags())


def test_locks_name_no_index() -> None:
    for lock in LOCKS.glob("*.txt"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert not re.search(r"index-url|find-links|https?://|file:", text), lock


@pytest.mark.parametrize("part", ["azurite", "typescript"])
def test_locks_of_npm_pin_each_package_by_its_hash_and_name_no_registry(part: str) -> None:
    folder = ROOT / "tests" / part
    text = (folder / "package-lock.json").read_text()
    own, *packages = json.loads(text)["packages"].values()
    asked = json.loads((folder / "package.json").read_text())
    assert own.items() >= {key: asked[key] for key in asked if key.lower().endswith("dependencies")}.items()
    assert all(each["integrity"].startswith("sha512-") for each in packages)
    assert "resolved" not in text
