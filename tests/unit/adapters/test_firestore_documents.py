"""What Firestore adds to the contract of documents: lost answers, absence, limits, shards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from convergence.adapters.gcp.documents.query import IN_MAX
from convergence.adapters.gcp.documents.shards import SHARDS, shard_of
from convergence.errors import CloudSetup, Conflict, InvalidInput, PermissionMissing, Transient
from convergence.ports.documents import Create, Delete, Order, Patch, Replace, Where, Write
from tests.unit.adapters.firestore_world import FirestoreWorld, firestore_world


@pytest.fixture
def world() -> Iterator[FirestoreWorld]:
    with firestore_world() as made:
        yield made


async def data(world: FirestoreWorld, path: str) -> dict[str, Any]:
    stored = await world.documents.get(path)
    assert stored is not None
    return stored.data


async def version(world: FirestoreWorld, path: str) -> int:
    stored = await world.others.get(path)
    assert stored is not None
    return stored.version


def test_a_commit_whose_answer_was_cut_is_recognised(world: FirestoreWorld) -> None:
    async def scenario() -> None:
        (first,) = await world.documents.commit([Create("runs/r1", {"n": 1})])
        world.server.faults.cut("Commit")
        written = await world.documents.commit([Replace("runs/r1", first, {"n": 2}), Create("runs/r2", {"n": 2})])
        assert written == [await version(world, "runs/r1"), await version(world, "runs/r2")]
        assert world.server.counts["writes"] == 3

    asyncio.run(scenario())


def test_a_delete_beside_a_write_is_recognised_with_it(world: FirestoreWorld) -> None:
    async def scenario() -> None:
        (first,) = await world.documents.commit([Create("runs/r1", {"n": 1})])
        world.server.faults.cut("Commit")
        made = await world.documents.commit([Delete("runs/r1", first), Create("runs/r2", {})])
        assert made == [0, await version(world, "runs/r2")]

    asyncio.run(scenario())


def test_another_writers_equal_data_is_not_taken_for_the_own(world: FirestoreWorld) -> None:
    async def scenario() -> None:
        (first,) = await world.documents.commit([Create("counters/c", {"n": 1})])
        world.server.faults.refuse("Commit")  # nothing was done; the other writes the very same
        world.clock.meanwhile = lambda: world.others.commit([Replace("counters/c", first, {"n": 2})])
        with pytest.raises(Transient, match="read again"):
            await world.documents.commit([Replace("counters/c", first, {"n": 2})])

    asyncio.run(scenario())


def test_a_commit_that_was_applied_and_overwritten_is_not_a_conflict(world: FirestoreWorld) -> None:
    async def scenario() -> None:
        (first,) = await world.documents.commit([Create("counters/c", {"n": 1})])

        async def overwrite() -> None:
            await world.others.commit([Replace("counters/c", await version(world, "counters/c"), {"n": 3})])

        world.server.faults.cut("Commit")
        world.clock.meanwhile = overwrite
        with pytest.raises(Transient, match="answer to a commit was lost"):  # a Conflict would say "not applied"
            await world.documents.commit([Replace("counters/c", first, {"n": 2})])

    asyncio.run(scenario())


def test_a_document_at_its_old_version_proves_that_nothing_was_applied(world: FirestoreWorld) -> None:
    async def scenario() -> None:
        one, two = await world.documents.commit([Create("runs/r1", {}), Create("runs/r2", {})])
        world.server.faults.refuse("Commit")
        world.clock.meanwhile = lambda: world.others.commit([Replace("runs/r1", one, {"by": "other"})])
        with pytest.raises(Conflict, match="runs/r1, runs/r2"):
            await world.documents.commit([Replace("runs/r1", one, {}), Replace("runs/r2", two, {})])

    asyncio.run(scenario())


def test_aborted_is_tried_again_and_leaves_no_doubt(world: FirestoreWorld) -> None:
    async def scenario() -> None:
        (first,) = await world.documents.commit([Create("runs/r1", {})])
        world.server.faults.refuse("Commit", code="ABORTED", times=3)
        await world.documents.commit([Replace("runs/r1", first, {"n": 2})])
        world.server.faults.refuse("Commit", code="ABORTED")
        with pytest.raises(Conflict):
            await world.documents.commit([Replace("runs/r1", first, {"n": 3})])

    asyncio.run(scenario())


def test_contended_increments_with_lost_answers_are_each_counted_once(world: FirestoreWorld) -> None:
    async def increment(token: str) -> None:
        while True:
            stored = await world.documents.get("counters/c")
            assert stored is not None
            if token in stored.data["by"]:  # what a Transient left open
                return
            changed = {"n": stored.data["n"] + 1, "by": [*stored.data["by"], token]}
            try:
                await world.documents.commit([Replace("counters/c", stored.version, changed)])
            except (Conflict, Transient):
                await asyncio.sleep(0)
            else:
                return

    async def scenario() -> None:
        await world.documents.commit([Create("counters/c", {"n": 0, "by": []})])
        for _ in range(8):
            world.server.faults.cut("Commit")
            world.server.faults.refuse("Commit", times=2)
        await asyncio.gather(*(increment(f"t{i}") for i in range(40)))
        counter = await data(world, "counters/c")
        assert counter["n"] == len(set(counter["by"])) == len(counter["by"]) == 40

    asyncio.run(scenario())


def test_while_the_server_is_down_the_error_says_what_is_waited_for_and_then_all_goes_on(world: FirestoreWorld) -> None:
    async def scenario() -> None:
        await world.documents.commit([Create("runs/r1", {"n": 1})])
        first = world.documents.connection.client()
        world.server.stop()
        with pytest.raises(Transient, match=r"waiting for Firestore \(read of runs/r1\): UNAVAILABLE"):
            await world.documents.get("runs/r1")
        assert world.clock.waits > 3
        world.restart()
        assert await data(world, "runs/r1") == {"n": 1}
        assert world.documents.connection.client() is not first

    asyncio.run(scenario())


def test_a_call_without_an_answer_ends_at_its_deadline() -> None:
    async def scenario(world: FirestoreWorld) -> None:
        world.server.faults.hang("BatchGetDocuments", times=float("inf"))
        world.clock.meanwhile = lambda: world.clock.sleep(60)  # the total time is over
        with pytest.raises(Transient, match="DEADLINE_EXCEEDED"):
            await world.documents.get("runs/r1")
        world.server.faults.clear()
        world.server.faults.hang("Commit", after=True)
        await world.documents.commit([Create("runs/r1", {"n": 1})])  # done at the first try, recognised at the second
        assert world.server.calls["Commit"] == 2

    with firestore_world(call_s=0.2, total_s=5.0) as world:
        asyncio.run(scenario(world))


def nested(levels: int) -> Any:
    """Return maps and lists in each other."""
    item: Any = "x"
    for level in range(levels):
        item = {"in": item} if level % 2 else {"list": [item, level]}
    return item


HARD = {
    "lists": [[1, [2]], []],
    "deep": nested(25),
    "long names": {"k" * 1500: 1, "ä" * 800: {"in": ["it"]}},
    "a long name": {"k" * 1499: 1},
    "big": 2**63,
    "small": -(2**63),
    "float": 1.0,
    "__name__": 1,
    "": 2,
    "~json": "not ours",
    "~": {"~json": "nor this", "~~": None},
    "_shard": 3,
    "_commit": 4,
    "a`b\\c.d": {"e-f": "\x00ü\U0001f600"},
    "empty": {"list": [], "map": {}, "text": ""},
}


def test_all_json_comes_back_whatever_firestore_itself_could_not_store(world: FirestoreWorld) -> None:
    async def scenario() -> None:
        await world.documents.commit([Create("runs/r1", HARD)])
        assert await data(world, "runs/r1") == HARD
        await world.documents.commit([Patch("runs/r1", {("a`b\\c.d", "__x__"): [[0]]}, unset=[("",), ("_shard",)])])
        stored = await data(world, "runs/r1")
        assert stored["a`b\\c.d"] == {**HARD["a`b\\c.d"], "__x__": [[0]]}
        assert stored.keys() == HARD.keys() - {"", "_shard"}
        assert type(stored["float"]) is float

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "bad",
    [{"x": "\ud800"}, {"x": object()}, {1: 2}, {"x": "a" * 2**20}, {"k" * 1501: 1}],
    ids=["half-character", "object", "number-as-key", "over-1-MiB", "long-key"],
)
def test_what_cannot_be_stored_is_refused_at_once(world: FirestoreWorld, bad: dict[str, Any]) -> None:
    async def scenario() -> None:
        with pytest.raises(InvalidInput, match="runs/r1"):
            await world.documents.commit([Create("runs/r1", bad)])
        assert world.clock.waits == 0

    asyncio.run(scenario())


def test_a_commit_over_ten_mebibytes_is_refused(world: FirestoreWorld) -> None:
    writes: list[Write] = [Create(f"runs/r{i}", {"x": "a" * 900_000}) for i in range(12)]
    with pytest.raises(InvalidInput, match="exceeds"):
        asyncio.run(world.documents.commit(writes))
    assert world.server.counts["writes"] == 0


def test_a_missing_permission_is_final_and_named(world: FirestoreWorld) -> None:
    world.server.faults.deny("datastore.entities.get", "projects/p/databases/(default)")
    with pytest.raises(PermissionMissing, match=r"datastore\.entities\.get.*projects/p"):
        asyncio.run(world.documents.get("runs/r1"))
    assert world.server.calls.total() == 1


def test_a_query_without_its_index_says_which(world: FirestoreWorld) -> None:
    with pytest.raises(CloudSetup, match=r"requires an index\. Collection runs: status, created_at"):
        asyncio.run(world.documents.query("runs", where=[Where("status", "==", "x")], order=[Order("created_at")]))


def test_sharded_pages_come_in_order_and_miss_nothing(world: FirestoreWorld) -> None:
    async def scenario() -> None:
        writes: list[Write] = [Create(f"runs/r{i:03d}", {"check_at": f"{i * 7 % 50:02d}"}) for i in range(200)]
        await world.documents.commit([*writes, Create("runs/none", {"check_at": None})])
        expected = sorted((str(write.data["check_at"]), write.path) for write in writes)  # type: ignore[union-attr]
        for descending in (False, True):
            seen, cursor = [], None
            while True:
                order = [Order("check_at", descending)]
                page = await world.documents.query("runs", order=order, limit=37, cursor=cursor)
                seen += [(document.data["check_at"], document.path) for document in page.documents]
                if page.cursor is None:
                    break
                cursor = page.cursor
            assert sorted(seen) == expected
            assert [at for at, _ in seen] == sorted((at for at, _ in expected), reverse=descending)
            assert seen == sorted(sorted(seen), key=lambda each: each[0], reverse=descending)
        assert await world.documents.count("runs", where=[Where("check_at", "<=", "24")]) == 100

    asyncio.run(scenario())


def test_a_page_whose_rows_are_all_in_one_shard_is_whole(world: FirestoreWorld) -> None:
    paths = [path for path in (f"runs/r{i}" for i in range(2000)) if shard_of(path) == 3][:60]

    async def scenario() -> None:
        await world.documents.commit([Create(path, {"check_at": f"{i:03d}"}) for i, path in enumerate(paths)])
        page = await world.documents.query("runs", order=[Order("check_at")], limit=50)
        assert [document.path for document in page.documents] == paths[:50]

    asyncio.run(scenario())


def test_all_shards_cost_one_query_and_an_empty_one_is_billed_as_one_read(world: FirestoreWorld) -> None:
    async def scenario() -> None:
        due = [Where("check_at", "<=", "9")]
        await world.documents.commit([Create("runs/r1", {"check_at": "a", "org": "a", "created_at": "1"})])
        world.server.counts.clear()
        assert not (await world.documents.query("runs", where=due, order=[Order("check_at")])).documents
        assert (world.server.calls["RunQuery"], world.server.counts["reads"]) == (1, 1)
        assert await world.documents.count("runs", where=due) == 0
        assert (world.server.calls["RunAggregationQuery"], world.server.counts["reads"]) == (1, 2)

    asyncio.run(scenario())


def test_the_shards_are_fewer_than_the_values_that_a_query_may_name() -> None:
    assert SHARDS <= IN_MAX
    assert {shard_of(f"runs/r{i}") for i in range(1000)} == set(range(SHARDS))


def test_only_the_index_that_is_in_shards_names_them(world: FirestoreWorld) -> None:
    async def scenario() -> None:
        await world.documents.commit([Create("runs/r1", {"check_at": "1", "org": "a", "created_at": "1"})])
        found = await world.documents.query("runs", where=[Where("org", "==", "a")], order=[Order("created_at")])
        assert [each.path for each in found.documents] == ["runs/r1"], "its index does not have the shard"

    asyncio.run(scenario())


def test_in_takes_up_to_thirty_values_and_an_empty_list_matches_nothing(world: FirestoreWorld) -> None:
    async def scenario() -> None:
        await world.documents.commit([Create("things/a", {"n": 1})])
        assert await world.documents.count("things", where=[Where("n", "in", list(range(30)))]) == 1
        assert await world.documents.count("things", where=[Where("n", "in", [])]) == 0
        assert (await world.documents.query("things", where=[Where("n", "in", [])])).documents == []
        with pytest.raises(InvalidInput, match="at most 30"):
            await world.documents.count("things", where=[Where("n", "in", list(range(31)))])

    asyncio.run(scenario())


def test_a_repeated_path_and_an_absent_one_are_each_answered(world: FirestoreWorld) -> None:
    async def scenario() -> None:
        await world.documents.commit([Create("runs/r1", {})])
        found = await world.documents.get_many(["runs/r1", "runs/no", "runs/r1"])
        assert [None if each is None else each.path for each in found] == ["runs/r1", None, "runs/r1"]
        assert world.server.calls["BatchGetDocuments"] == 1
        assert await world.documents.get_many([]) == []
        assert await world.documents.commit([]) == []

    asyncio.run(scenario())
