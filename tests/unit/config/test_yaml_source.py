"""YAML: positions, traps, limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yaml import safe_dump

from convergence.config.yaml.source import DEPTH_MAX, NODES_MAX, read_yaml
from convergence.errors import ConfigErrors


def problems(text: str) -> list[str]:
    return [str(problem) for problem in read_yaml(text, "f.yml").problems]


def refused(text: str | bytes) -> str:
    with pytest.raises(ConfigErrors) as caught:
        read_yaml(text, "f.yml")
    return str(caught.value)


def test_every_key_and_item_has_its_place() -> None:
    positions = read_yaml("a: 1\nb:\n  - x\n  - {c: d}\n", "f.yml").positions
    assert positions.where(("a",)) == "f.yml:1:1"
    assert positions.where(("b", 1)) == "f.yml:4:5"
    assert positions.where(("b", 1, "c")) == "f.yml:4:6"
    assert positions.where(("b", 1, "c", "deeper", "still")) == "f.yml:4:6"


def test_a_line_inside_a_block_of_text_has_its_place() -> None:
    positions = read_yaml("a:\n  sql: |\n    one\n    two\n", "f.yml").positions
    assert positions.where(("a", "sql"), line=1) == "f.yml:4"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0x1f", 31),
        ("-3", -3),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1e3", "1e3"),
        ("no", False),
        ("~", None),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01 02:03:04", "2026-01-01 02:03:04"),
        ('"02:00"', "02:00"),
        ("!!str 12", "12"),
        ("!!int '12'", 12),
        ("00:1a", "00:1a"),
    ],
)
def test_scalars_become_json(text: str, value: Any) -> None:
    source = read_yaml(f"a: {text}", "f.yml")
    assert source.data == {"a": value}
    assert not source.problems


@pytest.mark.parametrize("text", ["02:00", "12:30", "1:20:30", "190:20:30.15"])
def test_numbers_to_the_base_60_are_reported(text: str) -> None:
    assert "must be in quotes" in problems(f"a: {text}")[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 014", "014 is octal"),
        ("a: .inf", ".inf is not a finite number"),
        ("a: 99999999999999999999", "at most 64 bits"),
        ("a: 0x" + "f" * 300, "at most 64 bits"),
        ("a: 0b1" + "0" * 5000, "at most 64 bits"),
        ("a: !!int x", "x is not a finite number"),
        ("a: !!bool x", "'x' is not a boolean"),
        ("1: a", "the key 1 as a number"),
        ("null: a", "the key null as a null"),
        ("a: 1\nb: 2\na: 3", "f.yml:3:1: the key 'a' appears twice (first on line 1)"),
        ("<<: 1", "`<<` takes a mapping"),
    ],
)
def test_traps_are_reported(text: str, message: str) -> None:
    assert message in problems(text)[0]


def test_the_first_of_two_equal_keys_is_kept_and_the_rest_is_read() -> None:
    source = read_yaml("a: 1\na: {b: [1, 2]}\nc: 3", "f.yml")
    assert source.data == {"a": 1, "c": 3}


def test_anchors_and_merge_keys_work() -> None:
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [{z: 9}, *b]}\nthree: *b"
    data = read_yaml(text, "f.yml").data
    assert data["one"] == {"x": 1, "y": 3}
    assert data["two"] == {"z": 9, "x": 1, "y": 2}
    assert data["three"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yml:1: the file is empty: write something into it, or remove it"),
        ("a: [1", "f.yml:2:1: close the quote or bracket that is open"),
        ('a: "b\nc: 1\nd: "e"', "f.yml:1:4: the quote that opens here ends only at the quote on line 3"),
        (
            "a: [x, 'b]\nc: {sql: \"SELECT 'x'\"}",
            "f.yml:1:8: the quote that opens here ends only at the quote on line 2",
        ),
        ("a:\n\tb: 1", "f.yml:2:1: a tab cannot indent"),
        ("a: 1\n---\nb: 1", "f.yml:2:1: a file may hold only one document"),
        ("a: !!python/object:os.system x", "f.yml:1:4: the tag !!python/object:os.system is not allowed"),
        ("a: !mine {b: 1}", "f.yml:1:4: the tag !mine is not allowed"),
        ("a: *nowhere", "refers to nothing before it"),
        ("a: &x [*x]", "or to itself"),
        ("[a, b]: c", "a key must be plain text"),
        ("a: \x00", "f.yml: this is not YAML"),
        (b"a: \xff", "f.yml:1: the file is not UTF-8"),
        ("[" * 5000, f"nested deeper than {DEPTH_MAX} levels"),
        ("{a: " * 5000, f"nested deeper than {DEPTH_MAX} levels"),
        ("a: " + "x" * (1 << 20), "at most 1048576 are read"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str | bytes, message: str) -> None:
    assert message in refused(text)


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert f"more than {NODES_MAX} values" in refused("\n".join(lines))


def test_a_byte_order_mark_is_not_part_of_the_text() -> None:
    assert read_yaml(b"\xef\xbb\xbfa: 1", "f.yml").data == {"a": 1}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_what_a_yaml_writer_wrote_is_read_back(value: Any) -> None:
    source = read_yaml(safe_dump({"v": value}, allow_unicode=True), "f.yml")
    assert source.data == {"v": value}
    assert not source.problems
