"""`then`: targets, parameters and loops are judged before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.config.catalog import Catalog

STEPS = "steps: [{step_id: look, ps_type: generic.noop}]\n"


def problems(root: Path, files: dict[str, str]) -> list[str]:
    written = []
    for name, text in files.items():
        file = root / f"{name}.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + STEPS)
        written.append(file)
    return [str(each) for each in Catalog(root).validate(written).problems]


def to(*names: str) -> str:
    return "then: {on_success: [" + ", ".join(f"{{pipeline: {name}}}" for name in names) + "]}\n"


def test_a_chain_without_a_loop_is_valid_also_by_an_alias(tmp_path: Path) -> None:
    files = {"x/a": to("x/b", "x/older"), "x/b": to("x/c"), "x/c": "aliases: [x/older]\n"}
    assert problems(tmp_path, files) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"x/a": to("x/bb"), "x/b": ""}, "x/a.yml:1:22: then.on_success[0].pipeline: Pipeline not found: x/bb"),
        ({"x/a": to("x/a")}, "it would never end: x/a → x/a"),
        ({"x/a": to("x/b"), "x/b": to("x/c"), "x/c": to("x/a")}, "it would never end: x/a → x/b → x/c → x/a"),
        (
            {
                "x/a": "then: {on_failure: [{pipeline: x/b, parameters: {regon: eu}}]}\n",
                "x/b": "parameters: {region: {type: string, default: eu}}\n",
            },
            "x/b has no parameter 'regon'. Did you mean 'region'?",
        ),
        (
            {
                "x/a": "then: {on_failure: [{pipeline: x/b, parameters: {key: abc}}]}\n",
                "x/b": "parameters: {key: {type: secret}}\n",
            },
            "'key' is a secret",
        ),
    ],
)
def test_unknown_targets_loops_and_parameters_are_refused(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    found = problems(tmp_path, files)
    assert any(expected in each for each in found), found
