"""What holds for every request: ids, sizes, rates, errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from convergence.entry.api.admission import admits_refused_head
from convergence.entry.api.middleware import BODY_MAX, KEYLESS_BODY_MAX
from convergence.errors import Transient
from convergence.ports.documents import Document, Documents
from tests.unit.entry.api.conftest import ROOT, Api, RunScenario

JSON = {"content-type": "application/json"}
RUN = "/pipelines/run/acme/shop/cost/daily"


async def pieces(count: int, size: int = 65_536) -> AsyncIterator[bytes]:
    """A body that does not announce its length."""
    for _ in range(count):
        yield b" " * size


def test_a_request_id_is_taken_or_made_and_comes_back_with_errors_too(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask("GET", "/nowhere", headers={"X-Request-ID": "mine-1"})
        assert answer.headers["x-request-id"] == answer.json()["request_id"] == "mine-1"
        made = await api.client.get("/health", headers={"X-Request-ID": "bad id\x7f" * 50})
        assert made.headers["x-request-id"].startswith("req_")

    run_scenario(scenario, orgs=())


def test_a_body_over_a_mebibyte_is_refused_announced_or_not(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        announced = await api.ask("POST", RUN, org="acme", content=b" " * (BODY_MAX + 1))
        streamed = await api.ask("POST", RUN, org="acme", content=pieces(17), headers=JSON)
        fits = await api.ask("POST", RUN, org="acme", content=b" " * (BODY_MAX - 2) + b"{}", headers=JSON)
        assert (announced.status_code, streamed.status_code, fits.status_code) == (413, 413, 202)
        assert announced.json()["code"] == streamed.json()["code"] == "request.too_large"

    run_scenario(scenario)


def test_a_caller_over_its_rate_waits_and_others_do_not(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        answers = [await api.ask("GET", "/pipelines/history/acme", org="acme") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
        refused = answers[-1]
        assert refused.json()["detail"] == "The limit of 3 requests a minute for org acme is reached."
        assert 1 <= int(refused.headers["retry-after"]) <= 20
        assert refused.headers["x-ratelimit-limit"] == "3"
        assert (await api.ask("GET", "/pipelines/history/globex", org="globex")).status_code == 200

    run_scenario(scenario, orgs=("acme", "globex"), RATE_LIMIT_ENABLED=True, RATE_LIMIT_REQUESTS_PER_MINUTE=3)


def test_guesses_at_keys_are_limited_by_address(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        answers = [await api.ask("POST", RUN, headers={"X-API-Key": f"cvk_{n}"}) for n in range(4)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert "failed keys from 192.0.2.7" in answers[-1].json()["detail"]

    run_scenario(scenario, RATE_LIMIT_ENABLED=True, RATE_LIMIT_REQUESTS_PER_MINUTE=3)


@pytest.mark.parametrize(
    ("hops", "address"), [(0, "192.0.2.7"), (1, "198.51.100.4"), (2, "203.0.113.9"), (4, "192.0.2.7")]
)
def test_the_callers_address_is_what_our_own_proxies_say(run_scenario: RunScenario, hops: int, address: str) -> None:
    forwarded = {"X-API-Key": "cvk_wrong", "X-Forwarded-For": "10.6.6.6, 203.0.113.9,198.51.100.4"}

    async def scenario(api: Api) -> None:
        answers = [await api.ask("POST", RUN, headers=forwarded) for _ in range(2)]
        assert f"failed keys from {address}" in answers[-1].json()["detail"]

    run_scenario(scenario, RATE_LIMIT_ENABLED=True, RATE_LIMIT_REQUESTS_PER_MINUTE=1, FORWARDED_HOPS=hops)


def test_methods_without_a_route_make_no_new_series(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        for number in range(3):
            await api.client.request(f"INVENTED{number}", "/nowhere")
        assert "INVENTED" not in (await api.ask("GET", "/metrics")).text

    run_scenario(scenario, orgs=())


def test_callers_of_one_kind_have_a_limit_together(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        answers = [await api.ask("GET", "/validator/pipelines/openai") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert "requests without a key, all together" in answers[-1].json()["detail"]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 30

    run_scenario(scenario, orgs=(), RATE_LIMIT_ENABLED=True, RATE_LIMIT_GLOBAL_REQUESTS_PER_MINUTE=2)


def test_strangers_take_nothing_from_keys_the_operator_and_probes(run_scenario: RunScenario) -> None:
    limits = {"RATE_LIMIT_REQUESTS_PER_MINUTE": 5, "RATE_LIMIT_GLOBAL_REQUESTS_PER_MINUTE": 8}

    async def scenario(api: Api) -> None:
        strangers = [await api.ask("POST", RUN) for _ in range(50)]
        strangers += [await api.ask("GET", "/nowhere") for _ in range(50)]
        assert {answer.status_code for answer in strangers[-50:]} == {429}
        assert (await api.ask("GET", "/pipelines/history/acme", org="acme")).status_code == 200
        assert (await api.ask("GET", "/organizations", headers=ROOT)).status_code == 200
        probes = [(await api.client.get(path)).status_code for path in ("/health", "/ready") * 20]
        assert set(probes) == {200}
        assert (await api.client.post("/health")).status_code == 429  # no probe does that

    run_scenario(scenario, RATE_LIMIT_ENABLED=True, **limits)


def test_failed_keys_are_not_looked_up_without_end_and_good_keys_are_still_let_in(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(api: Api) -> None:
        assert (await api.ask("GET", "/pipelines/history/acme", org="acme")).status_code == 200
        looked_up: list[str] = []
        get = type(api.installation.services.documents).get

        async def counted(self: Documents, path: str) -> Document | None:
            looked_up.append(path)
            return await get(self, path)

        monkeypatch.setattr(type(api.installation.services.documents), "get", counted)
        for number in range(30):
            await api.ask("GET", "/me", headers={"X-API-Key": f"cvk_{number}"})
        assert len(looked_up) == 5
        for headers in ({"X-CA-Root-Key": "wrong"}, {"X-API-Key": "cvk_31"}):
            assert (await api.ask("GET", "/me", headers=headers)).status_code == 429
        assert (await api.ask("GET", "/pipelines/history/acme", org="acme")).status_code == 200
        assert (await api.ask("GET", "/validator/pipelines/openai")).status_code == 200  # without a key

    run_scenario(scenario, RATE_LIMIT_ENABLED=True, RATE_LIMIT_REQUESTS_PER_MINUTE=5)


def test_what_a_rate_limit_turns_away_is_not_written_down(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        for _ in range(10):
            await api.ask("POST", RUN)
        assert len(api.audited) == 2

    run_scenario(scenario, RATE_LIMIT_ENABLED=True, RATE_LIMIT_REQUESTS_PER_MINUTE=2)


def test_a_body_without_a_valid_key_is_small(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        for headers in ({}, {"X-API-Key": "cvk_wrong"}):
            for content in (b" " * (KEYLESS_BODY_MAX + 1), pieces(2)):
                answer = await api.ask("POST", RUN, headers=headers | JSON, content=content)
                assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")
                assert "without a valid key may have at most 65,536 bytes" in answer.json()["detail"]
            small = b" " * (KEYLESS_BODY_MAX - 2) + b"{}"
            assert (await api.ask("POST", RUN, headers=headers | JSON, content=small)).status_code == 401

    run_scenario(scenario)


def test_what_anyone_may_ask_is_looked_up_once_a_second(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    async def scenario(api: Api) -> None:
        real = api.installation.services.catalog.names

        def names() -> list[str]:
            looks.append("names")
            return real()

        monkeypatch.setattr(api.installation.services.catalog, "names", names)
        monkeypatch.setattr("convergence.entry.api.fresh.KEPT_S", 3600.0)
        for path in ("/ready", "/api/v1/validator/pipelines"):
            looks.clear()
            answers = await asyncio.gather(*(api.client.get(path) for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200}
            assert len(looks) == 1
        monkeypatch.setattr("convergence.entry.api.fresh.KEPT_S", 0.0)
        api.at.trouble.kept_until = 0.0
        await api.client.get("/ready")
        assert len(looks) == 2

    run_scenario(scenario)


def test_heads_that_cannot_be_read_count_as_requests_without_a_key(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        assert [admits_refused_head(api.at, "192.0.2.7") for _ in range(3)] == [True, True, False]
        assert (await api.ask("GET", "/validator/pipelines/openai")).status_code == 429
        assert (await api.ask("GET", "/pipelines/history/acme", org="acme")).status_code == 200
        assert admits_refused_head(api.at, "192.0.2.1") is True

    run_scenario(scenario, RATE_LIMIT_ENABLED=True, RATE_LIMIT_REQUESTS_PER_MINUTE=2)


def test_addresses_of_one_ipv6_network_share_a_limit(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        for number in range(3):
            forwarded = {"X-Forwarded-For": f"2001:db8:1:2::{number}"}
            answer = await api.ask("GET", "/validator/pipelines/openai", headers=forwarded)
        assert (answer.status_code, "2001:db8:1:2::/64" in answer.json()["detail"]) == (429, True)
        other = {"X-Forwarded-For": "2001:db8:1:3::1"}
        assert (await api.ask("GET", "/validator/pipelines/openai", headers=other)).status_code == 200

    run_scenario(scenario, RATE_LIMIT_ENABLED=True, RATE_LIMIT_REQUESTS_PER_MINUTE=2, FORWARDED_HOPS=1)


@pytest.mark.parametrize(
    "address", ["203.0.113.7", "203.0.113.7:51234", "::ffff:203.0.113.7", "[::ffff:203.0.113.7]:1"]
)
def test_an_ipv4_address_has_its_own_limit_however_a_proxy_writes_it(run_scenario: RunScenario, address: str) -> None:
    async def scenario(api: Api) -> None:
        for _ in range(2):
            await api.ask("GET", "/validator/pipelines/openai", headers={"X-Forwarded-For": "203.0.113.7"})
        same = await api.ask("GET", "/validator/pipelines/openai", headers={"X-Forwarded-For": address})
        other = await api.ask("GET", "/validator/pipelines/openai", headers={"X-Forwarded-For": "::ffff:203.0.113.8"})
        assert (same.status_code, other.status_code) == (429, 200)

    run_scenario(scenario, RATE_LIMIT_ENABLED=True, RATE_LIMIT_REQUESTS_PER_MINUTE=2, FORWARDED_HOPS=1)


@pytest.mark.parametrize(
    ("length", "status"), [("0" * 5000, 200), ("0" * 5000 + "9" * 20, 413), ("9" * 5000, 413), ("\u0663", 200)]
)
def test_a_content_length_of_any_length_is_read_or_refused(run_scenario: RunScenario, length: str, status: int) -> None:
    async def scenario(api: Api) -> None:
        headers = {b"content-length": length.encode()}
        answer = await api.client.get("/health", headers=headers)
        assert answer.status_code == status

    run_scenario(scenario)


def test_an_unreachable_store_is_a_problem_before_the_routes_too(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreachable(*_: object) -> None:
        raise Transient("the store does not answer")

    async def scenario(api: Api) -> None:
        monkeypatch.setattr(type(api.installation.services.documents), "get", unreachable)
        answer = await api.ask("GET", "/pipelines/history/acme", org="acme")
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert (await api.client.get("/health")).status_code == 200
        monkeypatch.undo()

    run_scenario(scenario)


def test_a_bug_is_one_problem_without_its_traceback(
    run_scenario: RunScenario, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)  # a command before may have ended it

    async def scenario(api: Api) -> None:
        runtime = api.at
        object.__setattr__(runtime, "log_lines", lambda _: 1 / 0)
        run_id = (await api.run())["run_id"]
        answer = await api.ask("GET", f"/pipelines/logs/acme/{run_id}", org="acme")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert "ZeroDivision" not in answer.text
        assert answer.headers["x-request-id"] in answer.json()["detail"]

    run_scenario(scenario)
    assert "ZeroDivisionError" in caplog.text


def test_unknown_paths_and_methods_are_problems(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        missing = await api.ask("GET", "/nowhere")
        wrong = await api.ask("PUT", "/pipelines/history/acme")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
        assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
        assert wrong.headers["allow"] == "GET"
        assert (await api.ask("OPTIONS", "/procedures/sp_x")).headers["allow"] == "DELETE, GET, POST"
        assert (await api.ask("OPTIONS", "/pipelines/run/acme/a//b")).headers["allow"] == "POST"

    run_scenario(scenario, orgs=())


def test_browsers_of_named_origins_may_call(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
        allowed = await api.client.options("/api/v1/pipelines/run/acme/x", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://a.example"
        refused = await api.client.options(
            "/api/v1/pipelines/run/acme/x", headers=asked | {"Origin": "https://b.example"}
        )
        assert "access-control-allow-origin" not in refused.headers

    run_scenario(scenario, orgs=(), CORS_ORIGINS=("https://a.example",))
