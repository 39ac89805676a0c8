"""An org's hierarchy: nodes that fit together, found by level and by label."""

from __future__ import annotations

from typing import Any

import pytest

from convergence.domain.hierarchy import LABELS_MAX, LEVELS_MAX, NODES_MAX, TEXT_MAX, Hierarchy, Node
from convergence.errors import InvalidInput, NotFound
from convergence.tenants.hierarchy_csv import read_csv, write_csv

CSV = """node_id,name,level,parent_id,cost_center
eng,Engineering,department,,4700
ml,"Models, and more",team,eng,4711
web,Web,team,eng,
ops,Operations,department,,4800
"""


def node(node_id: str, **changes: Any) -> Node:
    return Node(**({"node_id": node_id, "name": node_id.upper(), "level": "team"} | changes))


def test_a_csv_file_is_read_and_written_again() -> None:
    hierarchy = read_csv("\ufeff" + CSV.replace("\n", "\r\n"))
    assert hierarchy.levels == ("department", "team")
    assert [each.node_id for each in hierarchy.path_of(hierarchy.nodes[1])] == ["eng", "ml"]
    assert [hierarchy.depth(each) for each in hierarchy.nodes] == [1, 2, 2, 1]
    assert hierarchy.nodes[2].labels == {}
    assert write_csv(hierarchy) == CSV
    assert Hierarchy.from_data(hierarchy.to_data()).to_data() == hierarchy.to_data()
    assert hierarchy.to_data()["levels"] == ["department", "team"]
    newer = [{**each, "from_the_future": 1} for each in hierarchy.to_data()["nodes"]]
    assert Hierarchy.from_data({"nodes": newer}).nodes == hierarchy.nodes


def test_levels_come_from_the_top_whatever_they_are_called() -> None:
    assert Hierarchy([node("a", level="zone"), node("b", level="area", parent_id="a")]).levels == ("zone", "area")


def chain(length: int) -> list[Node]:
    return [node(f"n{n}", level=f"l{n}", parent_id=f"n{n - 1}" if n else "") for n in range(length)]


@pytest.mark.parametrize(
    "nodes",
    [
        chain(LEVELS_MAX),
        [node(f"n{n}") for n in range(NODES_MAX)],
        [node("a", name="x" * TEXT_MAX, labels={f"l{n}": "y" * TEXT_MAX for n in range(LABELS_MAX)})],
    ],
    ids=["levels", "nodes", "texts"],
)
def test_a_hierarchy_may_be_as_large_as_that(nodes: list[Node]) -> None:
    assert Hierarchy(nodes).nodes == tuple(nodes)


def test_all_of_it_fits_into_its_document(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [node("a", name="x" * 50), node("b")]
    size = sum(len(str(each.to_data())) for each in nodes)
    monkeypatch.setattr("convergence.domain.hierarchy.SIZE_MAX", size)
    Hierarchy(nodes)
    monkeypatch.setattr("convergence.domain.hierarchy.SIZE_MAX", size - 1)
    with pytest.raises(InvalidInput, match=f"more than {size - 1} characters together"):
        Hierarchy(nodes)


@pytest.mark.parametrize(("wrong", "more"), [(10, ""), (12, "; and 2 more")])
def test_ten_mistakes_are_named_and_the_others_counted(wrong: int, more: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Hierarchy([node(f"n{n}", level="Team") for n in range(wrong)])
    named = "; ".join(f"n{n}: 'Team' is not a level: lower-case letters, digits and '_'" for n in range(10))
    assert str(refused.value) == f"The hierarchy is wrong: {named}{more}."


@pytest.mark.parametrize(
    ("parent", "message"),
    [("none", r"ml: there is no parent 'none'\. Use one of: eng\.$"), ("enk", r"'enk'\. Did you mean 'eng'\?$")],
)
def test_a_parent_that_is_missing_is_named_with_those_that_there_are(parent: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Hierarchy([node("eng", level="department"), node("ml", parent_id=parent)])


def test_the_last_of_many_nodes_is_checked_too() -> None:
    with pytest.raises(InvalidInput, match="n1999: there is no parent 'none'"):
        Hierarchy([*(node(f"n{n}") for n in range(NODES_MAX - 1)), node("n1999", parent_id="none")])


@pytest.mark.parametrize(
    ("label", "value", "found"),
    [
        ("cost_center", "4711", "ml"),
        ("team", "ml", "ml"),
        ("team", "Models, and more", "ml"),
        ("department", "Engineering", "eng"),
    ],
)
def test_a_node_is_found_by_its_level_and_by_its_labels(label: str, value: str, found: str) -> None:
    assert read_csv(CSV).find(label, value).node_id == found


def test_what_is_not_found_names_the_nearest() -> None:
    hierarchy = read_csv(CSV)
    with pytest.raises(NotFound, match=r"Did you mean 'cost_center'"):
        hierarchy.find("cost_centre", "4711")
    with pytest.raises(NotFound, match=r"cost_center=4712.*Did you mean '4711'"):
        hierarchy.find("cost_center", "4712")
    with pytest.raises(NotFound, match=r"team=Webb.*Did you mean 'Web'"):
        hierarchy.find("team", "Webb")
    with pytest.raises(NotFound):
        Hierarchy(()).find("team", "ml")


def test_a_value_of_two_nodes_is_an_error_that_names_both() -> None:
    hierarchy = Hierarchy([node("a", labels={"owner": "kim"}), node("b", labels={"owner": "kim"})])
    with pytest.raises(InvalidInput, match="2 nodes: a, b"):
        hierarchy.find("owner", "kim")
    many = Hierarchy([node(each, labels={"owner": "kim"}) for each in "abcd"])
    with pytest.raises(InvalidInput, match=r"4 nodes: a, b, c\."):
        many.find("owner", "kim")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("a"), node("a")], "a appears twice"),
        ([node("a", parent_id="b")], "there is no parent 'b'"),
        ([node("a", parent_id="b"), node("b", parent_id="a")], "below itself"),
        ([node("a", parent_id="a")], "below itself"),
        ([node("a", parent_id="b"), node("b", parent_id="c"), node("c", parent_id="b")], "a: it is below itself"),
        ([node("a"), node("b", parent_id="a")], "not all equally deep"),
        ([node("a"), node("b", level="group")], "two levels are equally deep: team, group"),
        ([node("a b")], "is not an id"),
        ([node("a", level="Team")], "is not a level"),
        ([node("a", name=" ")], "a name"),
        ([node("a", name="x" * 201)], "200 characters"),
        ([node("a", labels={"Cost Center": "1"})], "is not a label"),
        ([node("a", labels={f"l{n}": "1" for n in range(21)})], "20 labels"),
        ([node(f"n{n}") for n in range(NODES_MAX + 1)], "more than 2000"),
        (chain(LEVELS_MAX + 1), "11 levels are more than 10"),
        (chain(LEVELS_MAX + 2), "n11: it is below itself, or below more than 10 others"),
        ([node(f"n{n}", labels={f"l{m}": "x" * 200 for m in range(20)}) for n in range(300)], "800,000 characters"),
    ],
)
def test_nodes_that_do_not_fit_together_are_refused(nodes: list[Node], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Hierarchy(nodes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1"),
        ("node_id,name\n", "line 1: the columns node_id, name, level"),
        ("node_id,name,level,level\n", "each once"),
        ("node_id,name,level\na,A\n", "line 2: 3 values are expected"),
        ("node_id,name,level\na,A,team,x\n", "line 2: 3 values are expected"),
        ('node_id,name,level\na,"A,team\n', "not CSV"),
        ("node_id,name,level\na,A,team\na,B,team\n", "a appears twice"),
    ],
)
def test_a_file_that_is_wrong_says_where(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_csv(text)
