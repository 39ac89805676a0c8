"""What a file of a few lines may grow to: variables that name each other multiply, aliases repeat, messages add up."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from convergence.config.checks.pipeline import check
from convergence.config.loader import parse_pipeline
from convergence.config.parameters.values import resolve_parameters
from convergence.config.resolve import resolve, resolve_results
from convergence.config.templates.sizes import DEPTH_MAX, PLAN_MAX, TEXT_MAX, TooLarge, Weights
from convergence.config.templates.template import parse, render
from convergence.errors import FINDINGS_MAX, ConfigErrors, InvalidInput, StepFailed
from tests.unit.config.builders import FIRE, a_pipeline, a_request, a_step

MIB = 1 << 20


def chain(first: str, following: str, count: int) -> str:
    """Variables of which each names the one before: `@` in `following` is its name."""
    lines = [f"  v0: {first}", *(f"  v{n}: {following.replace('@', f'v{n - 1}')}" for n in range(1, count))]
    return "variables:\n" + "\n".join(lines)


@pytest.fixture
def memory() -> Iterator[None]:
    """Fail when the test took 100 MiB at any moment."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * MIB


@pytest.mark.parametrize(
    ("more", "config", "message"),
    [
        (
            chain("x" * 1000, '"' + "{@}" * 9 + '"', 12),
            "{a: 1}",
            r"tests/one\.yml:\d+:\d+: variables\.v4: variables\.v4",
        ),
        (
            chain("x" * 1000, "[" + ", ".join(['"{@}"'] * 9) + "]", 40),
            "{a: 1}",
            r"tests/one\.yml:\d+:\d+: variables\.v5",
        ),
        (chain("x", '["{@}"]', 500), "{a: 1}", r"variables\.v201: the value would be nested deeper"),
        (
            f"variables:\n  v: {'x' * 200_000}",
            '{a: "' + "{v}" * 9 + '"}',
            r"tests/one\.yml:\d+:\d+: .*steps\[0\].config\.a",
        ),
        (
            f"variables:\n  v: {'x' * 200_000}",
            "{" + ", ".join(f'a{n}: "{{v}}{{v}}"' for n in range(300)) + "}",
            r"tests/one\.yml:\d+:\d+: steps\[0\]: the plan would have more",
        ),
        (
            f"variables:\n  v: {'x' * 200_000}",
            "{" + ", ".join(f'a{n}: "{{v}}"' for n in range(300)) + "}",
            r"tests/one\.yml:\d+:\d+: steps\[0\]: with this the plan would have more",
        ),
    ],
)
def test_a_plan_stays_small_whatever_its_variables_multiply_to(
    memory: None, more: str, config: str, message: str
) -> None:
    loaded = a_step(config, more)
    with pytest.raises(ConfigErrors, match=message):
        resolve(loaded, a_request(loaded))


def test_what_a_step_gives_is_measured_where_it_is_filled_in() -> None:
    template = parse("{a}{a}")
    assert template is not None
    assert render(template, {"a": "x" * (TEXT_MAX // 2)}) == "x" * TEXT_MAX
    with pytest.raises(TooLarge):
        render(template, {"a": "x" * (TEXT_MAX // 2 + 1)})


def test_results_that_would_fill_a_text_without_end_fail_the_step() -> None:
    loaded = a_pipeline(
        "steps:\n  - {step_id: first, ps_type: generic.noop}\n  - step_id: second\n    ps_type: generic.noop\n"
        '    depends_on: [first]\n    config: {a: "' + "{results.first.rows}" * 9 + '"}\n'
    )
    step = resolve(loaded, a_request(loaded)).steps[1]
    with pytest.raises(StepFailed, match=r"tests/one\.yml:\d+.*config\.a would become longer"):
        resolve_results(step, {"first": {"rows": "x" * (TEXT_MAX // 8)}})


def test_a_shared_value_weighs_as_often_as_it_is_there() -> None:
    value: object = "x" * 98
    for _ in range(100):
        value = [value, value]
    assert Weights().of(value) > 2**100 > PLAN_MAX
    deep: object = "x"
    for _ in range(DEPTH_MAX):
        deep = [deep]
    assert Weights().of(deep) == 3 + 2 * DEPTH_MAX
    with pytest.raises(TooLarge, match="deeper"):
        Weights().of([deep])


def test_a_long_text_that_aliases_repeat_counts_each_time(memory: None) -> None:
    text = f"variables:\n  a: &a {'x' * 500_000}\n  b: [{', '.join(['*a'] * 10_000)}]\n"
    with pytest.raises(ConfigErrors, match=r"tests/one\.yml:\d+:\d+: the file has more than 4,194,304 characters"):
        a_pipeline(text)


def test_of_many_unknown_parameters_a_few_are_reported() -> None:
    loaded = a_pipeline("name: x\n")
    given = {f"unknown_{number}": "x" for number in range(95_000)}
    with pytest.raises(InvalidInput) as caught:
        resolve_parameters(loaded, given, fire_time=FIRE)
    assert str(caught.value).count("no parameter is called") == FINDINGS_MAX
    assert len(str(caught.value)) < 20_000


@pytest.mark.parametrize(
    "body",
    [
        "".join(f"k{number}: 1\n" for number in range(5_000)),
        "steps:\n" + "".join(f"  - {{step_id: s{n}, ps_type: generic.nop}}\n" for n in range(3_000)),
        "steps:\n"
        + "".join(f"  - {{step_id: s{n}, ps_type: generic.noop, depends_on: [x{n}]}}\n" for n in range(3_000)),
    ],
)
def test_of_many_mistakes_a_few_are_reported(body: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        a_pipeline(body)
    assert len(caught.value.problems) == FINDINGS_MAX + 1
    assert str(caught.value.problems[-1]) == "there are more mistakes: correct these first"
    assert len(str(caught.value)) < 20_000


def test_suggestions_are_made_only_for_mistakes_that_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looks at all names of the file: five thousand of them took two minutes."""
    loaded = a_pipeline("steps:\n" + "".join(f"  - {{step_id: s{n}, ps_type: generic.noop}}\n" for n in range(100)))
    made: list[str] = []
    monkeypatch.setattr("convergence.config.checks.pipeline.did_you_mean", lambda name, known: made.append(name) or "")
    steps = tuple(
        step.model_copy(update={"depends_on": (f"x{index}",)}) for index, step in enumerate(loaded.pipeline.steps)
    )
    problems, _ = check(loaded.pipeline.model_copy(update={"steps": steps}), loaded.prepared, loaded.positions)
    assert len(problems) == len(made) == FINDINGS_MAX + 1


def test_deep_nesting_and_bombs_end_in_an_error(memory: None) -> None:
    head = "pipeline_id: x\nsteps: []\nvariables:\n  a: "
    bomb = "&a0 [x]\n" + "".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    for value in ("[" * 100_000, "{a: " * 100_000, bomb):
        with pytest.raises(ConfigErrors, match=r"nested deeper than 64|more than 50000 values"):
            parse_pipeline(head + value, "tests/one")
