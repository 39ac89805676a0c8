"""What every `Documents` adapter promises."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from convergence.errors import Conflict, InvalidInput
from convergence.ports.documents import Create, Delete, Documents, Order, Patch, Replace, Where


def run(work: Any) -> Any:
    return asyncio.run(work)


def test_a_document_comes_back_as_it_was_stored(documents: Documents) -> None:
    data = {"text": "ü", "n": 1, "f": 0.5, "none": None, "list": [1, {"a": True}], "empty": {}}

    async def scenario() -> None:
        (version,) = await documents.commit([Create("runs/r1", data)])
        stored = await documents.get("runs/r1")
        assert stored is not None
        assert (stored.path, stored.version, stored.data) == ("runs/r1", version, data)
        assert await documents.get("runs/r2") is None

    run(scenario())


def test_a_read_document_is_the_readers_own_copy(documents: Documents) -> None:
    async def scenario() -> None:
        await documents.commit([Create("runs/r1", {"list": []})])
        first = await documents.get("runs/r1")
        assert first is not None
        first.data["list"].append("changed")
        second = await documents.get("runs/r1")
        assert second is not None
        assert second.data == {"list": []}

    run(scenario())


def test_create_is_refused_where_a_document_exists(documents: Documents) -> None:
    async def scenario() -> None:
        await documents.commit([Create("runs/r1", {"n": 1})])
        with pytest.raises(Conflict, match="runs/r1"):
            await documents.commit([Create("runs/r1", {"n": 2})])

    run(scenario())


def test_the_second_writer_of_one_version_is_refused(documents: Documents) -> None:
    async def scenario() -> None:
        (version,) = await documents.commit([Create("runs/r1", {"n": 1})])
        (newer,) = await documents.commit([Replace("runs/r1", version, {"n": 2})])
        assert newer != version
        with pytest.raises(Conflict):
            await documents.commit([Replace("runs/r1", version, {"n": 3})])
        stored = await documents.get("runs/r1")
        assert stored is not None
        assert stored.data == {"n": 2}

    run(scenario())


def test_a_version_never_comes_back_after_delete_and_create(documents: Documents) -> None:
    async def scenario() -> None:
        (version,) = await documents.commit([Create("runs/r1", {"n": 1})])
        assert await documents.commit([Delete("runs/r1", version)]) == [0]
        await documents.commit([Create("runs/r1", {"n": 2})])
        with pytest.raises(Conflict):
            await documents.commit([Replace("runs/r1", version, {"n": 3})])

    run(scenario())


def test_one_failed_precondition_undoes_the_whole_commit(documents: Documents) -> None:
    async def scenario() -> None:
        await documents.commit([Create("runs/r1", {"n": 1}), Create("orgs/o", {"n": 1})])
        with pytest.raises(Conflict):
            await documents.commit([Patch("orgs/o", {("n",): 2}), Create("runs/r1", {}), Create("runs/r2", {})])
        org = await documents.get("orgs/o")
        assert org is not None
        assert org.data == {"n": 1}
        assert await documents.get("runs/r2") is None

    run(scenario())


def test_a_patch_touches_only_its_fields(documents: Documents) -> None:
    async def scenario() -> None:
        await documents.commit([Create("orgs/o", {"active": {"r1": "t", "r2": "t"}, "n": 1})])
        await documents.commit([Patch("orgs/o", {("deep", "new"): 5}, unset=[("active", "r1"), ("gone", "x")])])
        stored = await documents.get("orgs/o")
        assert stored is not None
        assert stored.data["active"] == {"r2": "t"}
        assert (stored.data["deep"], stored.data["n"]) == ({"new": 5}, 1)
        with pytest.raises(Conflict):
            await documents.commit([Patch("orgs/absent", {("n",): 1})])

    run(scenario())


def test_deleting_an_absent_document_without_a_version_raises_nothing(documents: Documents) -> None:
    async def scenario() -> None:
        await documents.commit([Delete("runs/none")])
        with pytest.raises(Conflict):
            await documents.commit([Delete("runs/none", 7)])

    run(scenario())


def test_eighty_contended_increments_end_at_eighty(documents: Documents) -> None:
    async def increment() -> None:
        while True:
            stored = await documents.get("counters/c")
            assert stored is not None
            try:
                await documents.commit([Replace("counters/c", stored.version, {"n": stored.data["n"] + 1})])
            except Conflict:
                await asyncio.sleep(0)
            else:
                return

    async def scenario() -> None:
        await documents.commit([Create("counters/c", {"n": 0})])
        await asyncio.gather(*(increment() for _ in range(80)))
        stored = await documents.get("counters/c")
        assert stored is not None
        assert stored.data == {"n": 80}

    run(scenario())


def test_a_cancelled_commit_does_not_take_its_neighbours_along(documents: Documents) -> None:
    async def scenario() -> None:
        tasks = [asyncio.create_task(documents.commit([Create(f"runs/r{i}", {})])) for i in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await documents.get("runs/r1") is not None
        assert await documents.get("runs/r2") is not None

    run(scenario())


def test_queries_filter_order_and_page(documents: Documents) -> None:
    async def scenario() -> None:
        for i in range(25):
            data = {"org": "a" if i % 2 else "b", "created_at": f"2026-01-{i // 2 + 1:02d}", "n": i}
            await documents.commit([Create(f"runs/r{i:02d}", data), Create(f"runs/r{i:02d}/steps/s", data)])
        where, order = [Where("org", "==", "a")], [Order("created_at", descending=True)]
        seen, cursor = [], None
        while True:
            page = await documents.query("runs", where=where, order=order, limit=5, cursor=cursor)
            seen += [document.data["n"] for document in page.documents]
            if page.cursor is None:
                break
            cursor = page.cursor
        assert seen == list(range(23, 0, -2))
        assert await documents.count("runs", where=where) == 12

    run(scenario())


def test_paging_is_stable_while_documents_come_and_go(documents: Documents) -> None:
    async def scenario() -> None:
        await documents.commit([Create(f"runs/r{i}", {"created_at": f"{i}"}) for i in range(6)])
        first = await documents.query("runs", order=[Order("created_at")], limit=3)
        await documents.commit([Delete("runs/r0"), Create("runs/r00", {"created_at": "00"})])
        rest = await documents.query("runs", order=[Order("created_at")], limit=10, cursor=first.cursor)
        assert [document.path for document in rest.documents] == ["runs/r3", "runs/r4", "runs/r5"]

    run(scenario())


def test_a_document_without_the_field_matches_nothing_and_is_not_ordered(documents: Documents) -> None:
    async def scenario() -> None:
        await documents.commit([Create("runs/with", {"check_at": "1"}), Create("runs/without", {"check_at": None})])
        assert (await documents.query("runs", order=[Order("check_at")])).documents[0].path == "runs/with"
        assert await documents.count("runs", where=[Where("check_at", "<=", "9")]) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Where("n", ">", 1), 1),
        (Where("n", ">=", 1), 2),
        (Where("n", "<", 1), 1),
        (Where("n", "in", [0, 2]), 2),
        (Where("tags", "array-contains", "x"), 2),
        (Where("lease.owner", "==", "me"), 1),
    ],
)
def test_each_operator(documents: Documents, where: Where, expected: int) -> None:
    async def scenario() -> None:
        await documents.commit(
            [
                Create("things/a", {"n": 0, "tags": ["x", "y"]}),
                Create("things/b", {"n": 1, "tags": ["x"], "lease": {"owner": "me"}}),
                Create("things/c", {"n": 2, "tags": []}),
            ]
        )
        assert await documents.count("things", where=[where]) == expected

    run(scenario())


@pytest.mark.parametrize("cursor", ["", "nonsense", "W10=", "NQ==", "W3t9LDFd"])
def test_a_cursor_that_is_not_ours_is_refused(documents: Documents, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        run(documents.query("runs", order=[Order("created_at")], cursor=cursor))


def test_hostile_ids_stay_data(documents: Documents) -> None:
    async def scenario() -> None:
        name = "x'; DROP TABLE documents; --"
        await documents.commit([Create(f"runs/{name}", {"org": name})])
        assert await documents.count("runs", where=[Where("org", "==", name)]) == 1

    run(scenario())
