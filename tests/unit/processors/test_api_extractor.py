"""`generic.api_extractor` against a real server: every way of paging, signing in, and going wrong."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from convergence.adapters.http.transport import CheckedTransport
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.errors import CredentialRejected, StepFailed, Transient
from convergence.processors.generic.api_extractor import ApiExtractor
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.extraction import DAY, NONE, Handler, World, answer, failing, things
from tests.unit.processors.step_world import WorldContext


def paged(request: Request) -> Response:
    """Seven things, three a page, in the way that the path asks for."""
    query = dict(request.query)
    rows = things(1, 7)
    size = 3
    at = int(query.get("offset", query.get("after", 0)))
    if "page" in query:
        at = (int(query["page"]) - 1) * size
    more = at + size < len(rows)
    link = {"link": f'</other?after=0>; rel="prev", </things?after={at + size}>; rel="next"'} if more else {}
    body = {"data": rows[at : at + size], "total": len(rows), "next": at + size if more else None}
    return answer(body, **link)


@pytest.mark.parametrize(
    ("pagination", "calls"),
    [
        ({"type": "cursor", "param": "after", "response_path": "next"}, 3),
        ({"type": "next_page_token", "token_param": "after", "response_path": "next"}, 3),
        ({"type": "link"}, 3),
        ({"type": "offset"}, 4),
        ({"type": "offset", "total_path": "total"}, 3),
        ({"type": "page", "page_size": 3, "page_size_param": "per_page"}, 4),
    ],
)
def test_every_kind_of_paging_brings_every_row_once(tmp_path: Path, pagination: dict[str, Any], calls: int) -> None:
    result, rows = World(tmp_path, paged).run({"pagination": pagination})
    assert [row["id"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert result["balance"] == {"read": 7, "loaded": 7, "quarantined": 0, "filtered": 0, "duplicate": 0}
    assert result["http_calls"] == calls


def test_a_list_without_a_word_on_paging_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="only the first page"):
        World(tmp_path, paged).run({})
    result, _ = World(tmp_path, paged).run({"pagination": {"type": "none"}})
    assert result["rows_written"] == 3


def whole(**changes: Any) -> Handler:
    """One answer with one thing."""
    return lambda _: answer({"data": [{**things(1, 1)[0], **changes}]})


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"type": "bearer"}, "authorization", "Bearer k3y"),
        ({"type": "header", "header": "X-Key", "prefix": "v1 "}, "x-key", "v1 k3y"),
        ({"type": "basic"}, "authorization", "Basic dTpw"),
    ],
)
def test_a_credential_travels_in_a_header(tmp_path: Path, auth: dict[str, str], header: str, value: str) -> None:
    world = World(tmp_path, whole())
    if auth["type"] == "basic":
        world.vault.secrets["acme"] = "u:p"
    world.run({**NONE, "auth": {"provider": "acme", **auth}})
    assert world.requests[0].headers[header] == value


def test_a_credential_in_the_query_goes_with_every_page_and_into_no_checkpoint(tmp_path: Path) -> None:
    world = World(tmp_path, paged)
    auth = {"type": "query", "param": "apikey", "provider": "acme"}
    world.run({"auth": auth, "pagination": {"type": "link"}})
    assert [dict(request.query).get("apikey") for request in world.requests] == ["k3y"] * 3


def test_oauth2_asks_for_a_token_first(tmp_path: Path) -> None:
    def handler(request: Request) -> Response:
        if request.path == "/token":
            assert b"client_id=me&client_secret=s" in request.body
            return answer({"access_token": "t0ken"})
        assert request.headers["authorization"] == "Bearer t0ken"
        return whole()(request)

    world = World(tmp_path, handler)
    world.vault.secrets["acme"] = '{"client_id": "me", "client_secret": "s"}'

    async def main() -> None:
        server = HttpServer(handler)
        base = await server.start()
        auth = {"type": "oauth2", "provider": "acme", "token_url": f"{base}/token"}
        await world.run_async({**NONE, "auth": auth}, 1, {})
        await server.stop()

    asyncio.run(main())


@pytest.mark.parametrize(("lives", "message"), [(1, None), (0, "does not recognize the credential")])
def test_an_expired_token_is_fetched_again_once_for_a_call(tmp_path: Path, lives: int, message: str | None) -> None:
    tokens: list[str] = []
    used: dict[str, int] = {}

    def handler(request: Request) -> Response:
        if request.path == "/token":
            tokens.append(f"t{len(tokens)}")
            return answer({"access_token": tokens[-1]})
        token = request.headers["authorization"]
        used[token] = used.get(token, 0) + 1
        return paged(request) if used[token] <= lives else answer({}, 401)

    world = World(tmp_path, handler)
    world.vault.secrets["acme"] = "me:s"

    async def main() -> Any:
        server = HttpServer(handler)
        auth = {"type": "oauth2", "provider": "acme", "token_url": f"{await server.start()}/token"}
        try:
            return await world.run_async({"pagination": {"type": "offset"}, "auth": auth}, 1, {})
        finally:
            await server.stop()

    if message is None:
        assert len(asyncio.run(main())[1]) == 7
        assert tokens == ["t0", "t1", "t2", "t3"]
    else:
        with pytest.raises(CredentialRejected, match=message):
            asyncio.run(main())
        assert tokens == ["t0", "t1"]


def test_the_further_name_of_a_credential_is_used_when_the_first_has_none(tmp_path: Path) -> None:
    world = World(tmp_path, whole())
    world.run({**NONE, "auth": {"type": "bearer", "provider": "nobody", "secret_key": "acme"}})
    assert world.requests[0].headers["authorization"] == "Bearer k3y"


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (Response(200, b'{"data": [{"id": 1}'), "Transient.*broken JSON"),
        (Response(200, b"<html>", content_type="text/html"), "StepFailed.*instead of JSON"),
        (answer({"error": {"message": "quota"}}), "StepFailed.*200 with an error: quota"),
        (answer({"items": []}), "StepFailed.*has no 'data'"),
        (answer({"data": 3}), "StepFailed.*not a list of records"),
        (answer({"data": [3]}), "StepFailed.*record is a int"),
        (answer({"data": [{"id": "many"}]}), "SchemaMismatch.*id"),
        (answer({"data": [{"id": 1, "idd": 2}]}), "StepFailed.*no column for the field 'idd'.*'id'"),
        (answer({}, 401), "CredentialRejected"),
        (answer({}, 302, location="https://evil.example"), "StepFailed.*redirects"),
        (Response(200, gzip.compress(b" " * 3_000_000), {"content-encoding": "gzip"}), "more than 1 MiB"),
    ],
)
def test_a_bad_answer_fails_the_step_and_says_why(tmp_path: Path, response: Response, message: str) -> None:
    import re

    found = failing(tmp_path, lambda _: response, {"answer_mib_max": 1})
    assert re.search(message, found), found


def test_cursors_in_a_circle_are_an_error(tmp_path: Path) -> None:
    numbers = iter(range(1, 100))

    def handler(request: Request) -> Response:
        after = "b" if dict(request.query).get("cursor") == "a" else "a"
        return answer({"data": things(n := next(numbers), n), "next_cursor": after})

    assert "repeats its cursor" in failing(tmp_path, handler, {"pagination": {"type": "cursor"}})


def test_the_same_page_twice_is_an_error(tmp_path: Path) -> None:
    message = failing(tmp_path, whole(), {"pagination": {"type": "offset"}})
    assert "same records as an earlier page" in message


def test_a_short_page_in_the_middle_is_an_error(tmp_path: Path) -> None:
    pages = {"1": things(1, 3), "2": things(4, 5), "3": things(7, 9)}
    message = failing(
        tmp_path,
        lambda request: answer({"data": pages.get(dict(request.query).get("page", "1"), [])}),
        {"pagination": {"type": "page", "page_size": 3}},
    )
    assert "page 2 has fewer rows" in message


def test_an_end_before_the_promised_total_is_an_error(tmp_path: Path) -> None:
    def handler(request: Request) -> Response:
        return answer({"data": [] if "offset" in dict(request.query) else things(1, 2), "total": 5})

    assert "pages end at 2" in failing(tmp_path, handler, {"pagination": {"type": "offset", "total_path": "total"}})


def test_a_link_to_another_host_does_not_get_the_credential(tmp_path: Path) -> None:
    def handler(_: Request) -> Response:
        return answer({"data": things(1, 1), "next": "https://evil.example/things"})

    message = failing(tmp_path, handler, {"pagination": {"type": "link", "response_path": "next"}})
    assert "another host, 'evil.example'" in message


def test_the_same_host_on_another_port_is_another_host(tmp_path: Path) -> None:
    def handler(_: Request) -> Response:
        return answer({"data": things(1, 1), "next": "http://127.0.0.1:9/things"})

    message = failing(tmp_path, handler, {"pagination": {"type": "link", "response_path": "next"}})
    assert "another host, '127.0.0.1:9'" in message


def test_a_private_address_needs_the_configs_word(tmp_path: Path) -> None:
    message = failing(tmp_path, whole(), {"allow_private_addresses": False})
    assert "allow_private_addresses: true" in message


def test_an_incremental_extraction_goes_on_behind_the_last_loaded_row(tmp_path: Path) -> None:
    world = World(tmp_path, whole(seen_at="2026-11-10T08:00:00Z"))
    incremental = {"cursor_path": "seen_at", "param": "since", "initial": "2026-01-01", "overlap": 60}
    _, rows = world.run({**NONE, "incremental": incremental}, times=2, destination={"key_fields": ["id"]})
    assert [dict(request.query)["since"] for request in world.requests] == ["2026-01-01", "2026-11-10T07:59:00Z"]
    assert len(rows) == 1
    assert "would remove the rest" in failing(tmp_path, whole(), {"incremental": incremental})


def test_a_call_rate_is_kept_on_the_clock(tmp_path: Path) -> None:
    world = World(tmp_path, paged)
    world.run({"pagination": {"type": "offset"}, "rate_limit": {"requests_per_second": 4}})
    assert sum(world.clock.waits) == pytest.approx(0.75)


def test_a_providers_registered_rate_holds_where_the_step_names_none(tmp_path: Path) -> None:
    (tmp_path / "registered").mkdir()
    (tmp_path / "registered" / "provider.yml").write_text("type: saas\nrate_limit_per_minute: 120\n")
    world = World(tmp_path, paged)
    world.run({"pagination": {"type": "offset"}}, provider="registered")
    assert sum(world.clock.waits) == pytest.approx(1.5)


def test_a_429_is_left_to_the_engine_where_the_file_says_so(tmp_path: Path) -> None:
    world = World(tmp_path, lambda _: answer({}, 429))
    with pytest.raises(Transient):
        world.run({**NONE, "rate_limit": {"retry_on_429": False}})
    assert len(world.requests) == 1


def test_a_long_extraction_goes_on_in_slices_with_a_checkpoint_of_plain_json(tmp_path: Path) -> None:
    world = World(tmp_path, paged)

    async def main() -> list[Any]:
        server, warehouse = HttpServer(world.record), DuckDbWarehouse(None, clock=world.clock)
        base, checkpoint, seen = await server.start(), None, []
        step = {
            "config": {"url": base + "/things", "data_path": "data", "allow_private_addresses": True,
                       "pagination": {"type": "offset"}},
            "destination": {"table": "acme_things_daily_raw", "checkpoint_rows": 3},
        }  # fmt: skip
        fields = {"configs_dir": tmp_path, "start_date": DAY, "end_date": DAY}
        async with httpx.AsyncClient(transport=CheckedTransport()) as client:
            for _ in range(2):
                context = WorldContext(client, warehouse, world.clock, checkpoint=checkpoint, **fields)
                result = await ApiExtractor().execute(step, context)
                checkpoint = json.loads(json.dumps(result["checkpoint"]))
                seen.append((result["status"], result["rows_staged"]))
        await server.stop()
        warehouse.close()
        return seen

    assert asyncio.run(main()) == [("CONTINUE", 3), ("CONTINUE", 6)]


def test_a_refused_credential_shows_no_key(tmp_path: Path) -> None:
    with pytest.raises(CredentialRejected) as caught:
        World(tmp_path, lambda _: answer({}, 403)).run({**NONE, "auth": {"provider": "acme"}})
    assert "k3y" not in str(caught.value)
