"""Each packaged function starts in an environment of nothing but its own requirements, and handles a message."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.packages import Package, build
from tests.emulators.firestore import FirestoreServer
from tests.emulators.functions import KMS_KEY, FunctionProcess, settings
from tests.emulators.kms import KmsServer
from tests.emulators.pubsub import PubSubServer

FLAGS = ["--require-hashes", "--no-deps", "--no-compile", "-qq", "--disable-pip-version-check"]

# A deployed step reads buckets and containers, and what is compressed in them.
OPENS_STORES = """
import backports.zstd
import boto3
from convergence.adapters.objects.azure_blob import open_azure
from convergence.adapters.objects.gcs import open_gcs
from convergence.adapters.objects.s3 import open_s3
from convergence.ports.object_store import Place

place = Place(kind="azure", root="container", options={"account": "account"})
open_azure(place, '{"account_key": "a2V5"}', http=None, endpoint="")
open_gcs(Place(kind="gcs", root="bucket"), None, endpoint="")
keys = '{"access_key_id": "AKIA", "secret_access_key": "k"}'
open_s3(Place(kind="s3", root="bucket"), keys, org="acme", endpoint="")
for service in ("s3", "sts"):
    boto3.session.Session().client(service, "eu-west-1", aws_access_key_id="a", aws_secret_access_key="k")
"""


@dataclass(frozen=True)
class Site:
    """Folders with what was installed: what all functions need, and what one needs besides."""

    folders: tuple[Path, ...]
    python: Path

    @property
    def size(self) -> int:
        files = (path for folder in self.folders for path in folder.rglob("*"))
        return sum(path.stat().st_size for path in files if path.is_file() and path.suffix != ".pyc")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    return {package.function.name: package for package in build(tmp_path_factory.mktemp("packages"))}


@pytest.fixture(scope="module")
def sites(packages: Mapping[str, Package], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Site]:
    """Return an environment per function. The lines that all functions have are installed once: pip takes its time."""
    root = tmp_path_factory.mktemp("sites")
    texts = {name: _blocks(package.folder / "requirements.txt") for name, package in packages.items()}
    shared = set.intersection(*map(set, texts.values()))
    base = _install(root / "base", shared)
    found = {}
    for name, blocks in texts.items():
        more = blocks - shared
        folders = (base, _install(root / name, more)) if more else (base,)
        venv = root / f"{name}-venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        (site,) = venv.glob("lib/python*/site-packages")
        (site / "installed.pth").write_text("\n".join(map(str, folders)))
        found[name] = Site(folders, venv / "bin" / "python")
    return found


def _blocks(requirements: Path) -> set[str]:
    text = requirements.read_text()
    return {block for block in text.replace("\\\n", " ").splitlines() if block.strip()}


def _install(target: Path, lines: set[str]) -> Path:
    lock = target.with_suffix(".txt")
    lock.write_text("\n".join(sorted(lines)))
    subprocess.run([sys.executable, "-m", "pip", "install", *FLAGS, "--target", target, "-r", lock], check=True)
    return target


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    firestore, pubsub, kms = FirestoreServer(), PubSubServer(), KmsServer([KMS_KEY])
    made = settings(firestore=firestore.start(), pubsub=pubsub.start(), kms=kms.start(), CONVERGENCE_ROOT_KEY="k" * 40)
    del made["PYTHONPATH"], made["CONVERGENCE_CONFIGS"]  # the package has its own
    yield made
    for server in (firestore, pubsub, kms):
        server.stop()


# One test: on two workers the environments would be installed twice.
def test_each_packaged_function_starts_alone_and_handles_a_message(
    packages: dict[str, Package], sites: dict[str, Site], environment: dict[str, str], tmp_path: Path
) -> None:
    assert len(packages) == 6
    for name, package in packages.items():
        _starts_alone(name, package, sites[name], environment, tmp_path / name)


def _starts_alone(name: str, package: Package, site: Site, environment: dict[str, str], tmp_path: Path) -> None:
    tmp_path.mkdir()
    assert site.size < package.limits[0]
    assert not [path for folder in site.folders for path in folder.iterdir() if path.name.startswith("duckdb")]
    folder = tmp_path / "workspace"  # elsewhere, so that nothing of this checkout is found beside it
    shutil.copytree(package.folder, folder)
    process = FunctionProcess(name, environment, tmp_path / "log", folder=folder, python=site.python)
    try:
        process.start()
        topic = package.function.triggers[0].topic
        answer = httpx.post(f"{process.url}/push/{topic}", content=b"poison", timeout=60)
        assert answer.status_code == 204, answer.text + process.output()
        assert httpx.get(f"{process.url}/ready", timeout=60).status_code == 200
        if package.function.http == "public":
            assert httpx.get(f"{process.url}/openapi.json", timeout=60).json()["info"]["title"] == "Convergence"
    finally:
        process.kill()
    if "files" in package.function.extras:
        subprocess.run([site.python, "-c", OPENS_STORES], cwd=folder, check=True, env={"PATH": ""})
    assert "kept as a dead letter" in process.output()
