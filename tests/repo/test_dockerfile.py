"""What the Dockerfile promises, read from it: no base image can be had here to build it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text("utf-8"))
LINES = [line.partition(" ") for line in TEXT.splitlines() if line and not line.startswith("#")]
STEPS = [(word, rest) for word, _, rest in LINES]


def of(word: str) -> list[str]:
    return [rest.strip() for each, rest in STEPS if each == word]


def test_the_base_is_the_callers_choice() -> None:
    assert STEPS[0][0] == "ARG"
    assert STEPS[0][1].startswith("BASE=python:3.")
    assert of("FROM") == ["${BASE}"]


def test_what_is_installed_is_the_lock_with_its_hashes() -> None:
    installs = [rest for rest in of("RUN") if "pip install" in rest]
    assert "--require-hashes --requirement /tmp/embedded.txt" in installs[0]
    assert all("--no-deps" in rest and "--no-cache-dir" in rest for rest in installs)


def test_what_is_copied_is_there() -> None:
    for rest in of("COPY"):
        *sources, _ = rest.split()
        assert all((ROOT / source).exists() for source in sources)
        ignored = (ROOT / ".dockerignore").read_text().splitlines()
        assert not {source.partition("/")[0] for source in sources} & set(ignored)


def test_the_process_is_not_root_and_data_has_a_place_of_its_own() -> None:
    (user,) = of("USER")
    assert user.isdigit()
    assert int(user) > 0
    assert [word for word, _ in STEPS].index("USER") > max(
        index for index, (word, _) in enumerate(STEPS) if word == "RUN"
    )
    assert of("VOLUME") == ["/data"]
    assert "--owner convergence /data" in "".join(of("RUN"))


def test_it_serves_and_its_health_is_asked_for() -> None:
    assert of("ENTRYPOINT") == ['["convergence"]']
    (served,), (asked,) = of("CMD"), of("HEALTHCHECK")
    assert '"serve"' in served
    (port,) = of("EXPOSE")
    assert f'"{port}"' in served
    assert f"http://127.0.0.1:{port}/health" in asked
