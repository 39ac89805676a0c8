"""An org's hierarchy: nodes that fit together, found by level and by label."""

from __future__ import annotations

from typing import Any

import pytest

from convergence.domain.hierarchy import NODES_MAX, Hierarchy, Node
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
    with pytest.raises(NotFound):
        Hierarchy(()).find("team", "ml")


def test_a_value_of_two_nodes_is_an_error_that_names_both() -> None:
    hierarchy = Hierarchy([node("a", labels={"owner": "kim"}), node("b", labels={"owner": "kim"})])
    with pytest.raises(InvalidInput, match="2 nodes: a, b"):
        hierarchy.find("owner", "kim")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("a"), node("a")], "a appears twice"),
        ([node("a", parent_id="b")], "there is no parent 'b'"),
        ([node("a", parent_id="b"), node("b", parent_id="a")], "below itself"),
        ([node("a", parent_id="a")], "below itself"),
        ([node("a"), node("b", parent_id="a")], "not all equally deep"),
        ([node("a"), node("b", level="group")], "two levels are equally deep"),
        ([node("a b")], "is not an id"),
        ([node("a", level="Team")], "is not a level"),
        ([node("a", name=" ")], "a name"),
        ([node("a", name="x" * 201)], "200 characters"),
        ([node("a", labels={"Cost Center": "1"})], "is not a label"),
        ([node("a", labels={f"l{n}": "1" for n in range(21)})], "20 labels"),
        ([node(f"n{n}") for n in range(NODES_MAX + 1)], "more than 2000"),
        ([node(f"n{n}", level=f"l{n}", parent_id=f"n{n - 1}" if n else "") for n in range(12)], "more than 10"),
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
