"""The declared indexes are those that the engine's queries need."""

from __future__ import annotations

from typing import Any

from convergence.adapters.gcp.documents.indexes import index_file
from convergence.engine.services import INDEXES, UNINDEXED
from convergence.ports.documents import Index


def fields(index: dict[str, Any]) -> list[tuple[str, str]]:
    return [(field["fieldPath"], field.get("order") or field["arrayConfig"]) for field in index["fields"]]


def test_an_index_serves_both_directions_and_names_always_go_up() -> None:
    made = index_file([Index("runs", ("org", "created_at"))])
    assert [fields(index) for index in made["indexes"]] == [
        [("org", "ASCENDING"), ("created_at", "ASCENDING")],
        [("org", "ASCENDING"), ("created_at", "DESCENDING"), ("__name__", "ASCENDING")],
    ]
    assert {(index["collectionGroup"], index["queryScope"]) for index in made["indexes"]} == {("runs", "COLLECTION")}


def test_a_sharded_field_is_indexed_below_its_shard_and_never_alone() -> None:
    made = index_file([Index("runs", ("check_at",), sharded=True)])
    assert fields(made["indexes"][0]) == [("_shard", "ASCENDING"), ("check_at", "ASCENDING")]
    assert made["fieldOverrides"] == [{"collectionGroup": "runs", "fieldPath": "check_at", "indexes": []}]


def test_a_list_is_indexed_by_what_it_contains() -> None:
    made = index_file([Index("steps", ("children", "status"), array="children")])
    assert [fields(index) for index in made["indexes"]] == [[("children", "CONTAINS"), ("status", "ASCENDING")]]


def test_a_collection_without_automatic_indexes_keeps_those_of_single_fields_that_are_asked_for() -> None:
    made = index_file([Index("plan", ("a.b-c",))], unindexed=["plan"])
    assert made["indexes"] == []
    assert [(each["fieldPath"], len(each["indexes"])) for each in made["fieldOverrides"]] == [("*", 0), ("a.`b-c`", 2)]


def test_no_composite_index_of_the_engine_is_declared_twice() -> None:
    made = index_file(INDEXES, UNINDEXED)
    shown = [(index["collectionGroup"], tuple(fields(index))) for index in made["indexes"]]
    assert len(shown) == len(set(shown))
    assert {each["collectionGroup"] for each in made["fieldOverrides"]} == set(UNINDEXED)
