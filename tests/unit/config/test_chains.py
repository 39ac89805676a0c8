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
            "x/b: no parameter is called 'regon'. Did you mean 'region'?",
        ),
        (
            {
                "x/a": "then: {on_failure: [{pipeline: x/b, parameters: {key: abc}}]}\n",
                "x/b": "parameters: {key: {type: secret}}\n",
            },
            "'key' is a secret",
        ),
        (
            {"x/a": "then: {on_success: [{pipeline: x/b, parameters: {nope: 1}}]}\n", "x/b": ""},
            "x/a.yml:1:50: then.on_success[0].parameters.nope: x/b: no parameter is called 'nope'.",
        ),
        (
            {
                "x/a": "then: {on_success: [{pipeline: x/b, parameters: {rows: many}}]}\n",
                "x/b": "parameters: {rows: {type: integer, default: 1}}\n",
            },
            "x/a.yml:1:50: then.on_success[0].parameters.rows: x/b: rows must be a whole number, not 'many'",
        ),
        (
            {
                "x/a": "then: {on_failure: [{pipeline: x/b, parameters: {size: huge}}]}\n",
                "x/b": "parameters: {size: {type: string, default: s, allowed: [s, l]}}\n",
            },
            "x/b: size must be one of 's', 'l', not 'huge'",
        ),
        (
            {"x/a": to("x/b"), "x/b": "parameters: {region: {type: string, required: true}}\n"},
            "then.on_success[0].pipeline: x/b needs the parameter 'region', so its run would not start: give it here",
        ),
        (
            {"x/a": to("x/b"), "x/b": "parameters: {key: {type: secret, required: true}}\n"},
            "x/b needs the parameter 'key', so its run would not start: store a credential",
        ),
    ],
)
def test_unknown_targets_loops_and_parameters_are_refused(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    found = problems(tmp_path, files)
    assert any(expected in each for each in found), found


def test_a_chain_may_give_what_its_run_would_take(tmp_path: Path) -> None:
    given = "{rows: '7', date: TODAY-1, tag: x}"
    declared = "parameters: {rows: {type: integer, required: true}, start_date: {type: date, required: true}}\n"
    files = {
        "x/a": f"then: {{on_success: [{{pipeline: x/b, parameters: {given}}}]}}\n",
        "x/b": f"{declared}variables: {{tag: y}}\n",
    }
    assert problems(tmp_path, files) == []


def test_templates_of_a_chain_are_filled_and_their_names_must_be_known(tmp_path: Path) -> None:
    taken = {"x/b": "parameters: {since: {type: date}, rows: {type: integer, default: 1}}\n"}
    head = "parameters: {wanted: {type: integer, default: 2}}\n"
    good = "then: {on_success: [{pipeline: x/b, parameters: {since: '{date}', rows: '{wanted}'}}]}\n"
    assert problems(tmp_path, {"x/a": head + good, **taken}) == []
    for name, said in (("wantd", "'wantd'"), ("results.look.rows", "results of steps are known only in steps")):
        wrong = f"then: {{on_success: [{{pipeline: x/b, parameters: {{rows: '{{{name}}}'}}}}]}}\n"
        (problem,) = problems(tmp_path, {"x/a": head + wrong, **taken})
        assert problem.startswith("x/a.yml:2:50: then.on_success[0].parameters.rows: ")
        assert said in problem


def test_a_chain_may_be_written_as_the_name_alone(tmp_path: Path) -> None:
    short = "then: {on_success: [x/b, {pipeline: x/c}], on_failure: x/c}\n"
    assert problems(tmp_path, {"x/a": short, "x/b": "", "x/c": ""}) == []
    then = Catalog(tmp_path).get("x/a").pipeline.then
    assert [each.pipeline for each in then.on_success] == ["x/b", "x/c"]
    assert [each.pipeline for each in then.on_failure] == ["x/c"]
    assert any("Pipeline not found: x/d" in each for each in problems(tmp_path, {"x/a": "then: {on_success: x/d}\n"}))
