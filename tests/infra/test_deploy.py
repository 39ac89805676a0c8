"""infra/deploy.sh, with programs in the place of gcloud, terraform and others that record how they were called."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from infra.project import ROOT
from tests.infra.conftest import ABSENT, BINARY
from tests.infra.files import RESOURCES

PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
case "$(basename "$0") $*" in
  *"output -raw url") echo https://api.example ;;
  *"output -raw "*) echo "Warning: No outputs found" ;; # and exit 0, as Terraform does before the first apply
  *"output -json") echo "$OUTPUTS" ;;
  *"state list") printf "$STATE" ;;
  *"storage cat "*) printf "$UPLOADED" ;;
  "git describe"*) echo v3-dirty ;;
  $FAILS) exit 1 ;;
esac
"""


class World:
    """A copy of what the script reads, and the calls that it made."""

    def __init__(self, root: Path) -> None:
        self.root, self._calls = root, root / "calls"
        shutil.copytree(ROOT / "infra" / "envs", root / "infra" / "envs")
        shutil.copyfile(ROOT / "infra" / "deploy.sh", root / "infra" / "deploy.sh")
        (root / "build" / "functions").mkdir(parents=True)
        (root / "build" / "functions" / "step.zip").touch()
        self._programs = [root / "bin" / name for name in ("gcloud", "terraform", "curl", "make", "git")]
        self._programs += [root / ".venv" / "bin" / "convergence"]  # which `make package` installs
        for program in self._programs:
            program.parent.mkdir(parents=True, exist_ok=True)
            program.touch()
            program.chmod(0o755)

    def run(self, *words: str, fails: str = "nothing", before: str = "v1", **more: str) -> tuple[int, list[str], str]:
        """Return exit code, calls and what was written to stderr. Calls that match `fails` (a glob) fail."""
        outputs = {"release": {"value": before}} if before else {}
        environment = {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", "CALLS": str(self._calls),
            "OUTPUTS": json.dumps(outputs), "STATE": "", "UPLOADED": "", **more,
        }  # fmt: skip
        program = PROGRAM.replace("$FAILS", fails.replace(" ", "\\ "))
        for path in filter(Path.exists, self._programs):
            path.write_text(program)
        done = subprocess.run(
            [str(shutil.which("bash")), self.root / "infra" / "deploy.sh", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        calls = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        return done.returncode, calls, done.stderr


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def applied(calls: list[str]) -> list[str]:
    return [call.rpartition("release=")[2] for call in calls if " apply " in call]


def test_a_release_is_uploaded_applied_awaited_migrated_and_tried(world: World) -> None:
    code, calls, _ = world.run("deploy", "stage", "v2", CONVERGENCE_ROOT_KEY="r", CONVERGENCE_API_KEY="k")
    assert code == 0
    order = [" ".join(call.split()[:4]) for call in calls if "output" not in call and "storage cat" not in call]
    assert order == [
        "make --no-print-directory package",
        "gcloud storage cp build/functions/step.zip",
        "terraform -chdir=infra init -input=false",
        "terraform -chdir=infra apply -input=false",
        "curl --fail --silent --show-error",
        "convergence --url https://api.example migrate",
        "convergence --url https://api.example schemas",
        "convergence --url https://api.example procedures",
        "convergence --url https://api.example run",
    ]
    (uploaded,) = (call for call in calls if "storage cp" in call)
    assert uploaded.endswith("build/functions/digest gs://convergence-stage-terraform/releases/v2/")
    assert applied(calls) == ["v2"]


@pytest.mark.parametrize("fails", ["curl *", "convergence * migrate", "convergence * run *", "terraform * release=v2"])
def test_the_release_before_comes_back_whatever_failed(world: World, fails: str) -> None:
    code, calls, error = world.run(
        "deploy", "prod", "v2", fails=fails, CONVERGENCE_ROOT_KEY="r", CONVERGENCE_API_KEY="k"
    )
    assert code != 0
    assert applied(calls) == ["v2", "v1"]
    assert "going back to v1" in error
    assert error.endswith("deploy.sh: v2 failed; v1 runs in prod again\n") == (fails != "curl *")


def test_a_function_that_the_release_before_does_not_have_stays_as_it_is(world: World) -> None:
    _, calls, _ = world.run("deploy", "prod", "v2", fails="curl *")
    of_both = (
        "--no-clobber gs://convergence-prod-terraform/releases/v2/*.zip gs://convergence-prod-terraform/releases/v1/"
    )
    assert f"gcloud storage cp {of_both}" in calls
    _, calls, _ = world.run("rollback", "prod", "v1", before="v2")
    assert f"gcloud storage cp {of_both}" in calls


@pytest.mark.parametrize("fails", ["terraform * apply *", "curl *"])
def test_a_way_back_that_fails_too_is_not_called_a_success(world: World, fails: str) -> None:
    code, calls, error = world.run("deploy", "stage", "v2", fails=fails)
    assert (code, applied(calls)) == (2, ["v2", "v1"])
    assert "v1 does not run in stage again either" in error


def test_terraform_says_by_json_that_nothing_was_deployed_yet(tmp_path: Path) -> None:
    """Where `output -raw` succeeds, with a warning in the place of the value."""
    if BINARY is None:
        pytest.skip(ABSENT)
    done = subprocess.run([BINARY, "output", "-json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {}


def test_a_release_keeps_its_content_and_one_without_a_commit_is_named_after_it(world: World) -> None:
    zip_file = world.root / "build" / "functions" / "step.zip"
    names = []
    for content in ("one", "one", "two"):
        zip_file.write_text(content)
        code, calls, _ = world.run("deploy", "dev")
        assert code == 0
        names += applied(calls)
    assert names[0].startswith("v3-dirty-")
    assert names[0] == names[1] != names[2]
    digest = names[2].rpartition("-")[2]
    assert world.run("deploy", "dev", "v4", UPLOADED=digest)[0] == 0
    code, calls, error = world.run("deploy", "dev", "v4", UPLOADED="another")
    assert (code, applied(calls)) == (2, [])
    assert "has other code: deploy under another VERSION" in error


def test_without_a_release_before_there_is_none_to_go_back_to(world: World) -> None:
    code, calls, error = world.run("deploy", "stage", "v2", fails="curl *", before="")
    assert (code, applied(calls)) == (2, ["v2"])
    assert "v2 does not run in stage" in error


def test_a_rollback_applies_an_uploaded_release_only(world: World) -> None:
    code, calls, _ = world.run("rollback", "prod", "v1")
    assert (code, applied(calls)) == (0, ["v1"])
    code, calls, error = world.run("rollback", "prod", "v9", fails="gcloud storage ls *")
    assert (code, applied(calls)) == (2, [])
    assert "has no v9" in error
    assert world.run("rollback", "prod")[0] == 2


def test_production_is_not_destroyed(world: World) -> None:
    code, calls, error = world.run("destroy", "prod")
    assert (code, calls) == (2, [])
    assert "prod is not destroyed by a command" in error
    code, calls, _ = world.run("destroy", "dev")
    assert code == 0
    assert any(" destroy " in call for call in calls)
    assert not any(" state rm " in call for call in calls)


def test_what_terraform_may_not_destroy_is_left_behind(world: World) -> None:
    protected = [name for name, body in RESOURCES.items() if body.get("lifecycle", [{}])[0].get("prevent_destroy")]
    assert protected == ["google_kms_crypto_key.credentials"]
    there = ["google_kms_crypto_key.credentials", "google_kms_key_ring.convergence", "google_pubsub_topic.topic"]
    code, calls, _ = world.run("destroy", "dev", STATE="\\n".join(there) + "\\n")
    assert code == 0
    assert [call.rpartition(" ")[2] for call in calls if " state rm " in call] == there[:2]
    assert " destroy " in calls[-1]


@pytest.mark.parametrize("words", [(), ("deploy",), ("deploy", "elsewhere"), ("run", "dev")])
def test_what_it_does_not_know_it_refuses_before_anything_is_called(world: World, words: tuple[str, ...]) -> None:
    code, calls, error = world.run(*words)
    assert (code, calls) == (2, [])
    assert error.startswith("deploy.sh: ")


def test_a_program_that_is_missing_is_named_before_anything_is_packaged(world: World) -> None:
    (world.root / "bin" / "gcloud").unlink()
    for name in (
        "bash",
        "basename",
        "cat",
        "dirname",
        "sed",
    ):  # a gcloud may be beside others
        (world.root / "bin" / name).symlink_to(str(shutil.which(name)))
    code, calls, error = world.run("deploy", "dev", PATH=str(world.root / "bin"))
    assert (code, calls) == (2, ["git describe --tags --always --dirty"])
    assert "gcloud is not installed" in error


@pytest.mark.parametrize("name", ["pr", "stage", "prod"])
def test_a_build_calls_what_is_there(name: str) -> None:
    build = yaml.safe_load((ROOT / "infra" / "cloudbuild" / f"{name}.yaml").read_text())
    for step in build["steps"]:
        for word in step.get("args", []):
            if word.startswith(("infra/", ".ci/")):
                assert (ROOT / word).exists()
    available = {each["env"] for each in build.get("availableSecrets", {}).get("secretManager", [])}
    assert {name for step in build["steps"] for name in step.get("secretEnv", [])} == available
    if name == "prod":
        assert [step["id"] for step in build["steps"]] == ["staging-is-healthy", "deploy"]
    if name != "pr":
        assert build["steps"][-1]["args"][:3] == ["infra/deploy.sh", "deploy", name]
