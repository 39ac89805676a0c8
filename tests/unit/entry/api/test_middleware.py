"""What holds for every request: ids, sizes, rates, errors, the document."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from convergence.domain.schedule import Priority
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.queue.waiting import ensure_queue, queued, ready_write
from convergence.entry.api.admission import admits_refused_head
from convergence.entry.api.middleware import BODY_MAX, KEYLESS_BODY_MAX
from convergence.errors import Transient
from convergence.ports.bus import Message
from convergence.ports.documents import Create, Document, Documents, Write
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


def test_health_readiness_and_metrics_answer_without_a_key(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await api.run()
        assert (await api.client.get("/health")).json() == {"status": "ok"}
        assert (await api.client.get("/ready")).status_code == 200
        text = (await api.client.get("/metrics")).text
        assert "convergence_runs_accepted_total 1.0" in text
        assert 'route="/pipelines/run/{org}/{path}",status="200"' in text
        assert "acme" not in text

    run_scenario(scenario)


def test_metrics_count_moves_retries_dead_letters_and_what_waits(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        moves = ("run.running", "run.failed", "step.retrying", "step.failed", "run.invented", "audit.call", "")
        api.at.metrics.moved([Message(b"", {"type": each}) for each in moves])
        api.at.metrics.died([Message(b"{}")])
        api.installation.worker.reconciling.cancel()  # type: ignore[union-attr]  # it is at work
        prepared = await prepare(api.at.services, RunRequest(org="acme", pipeline="shop/open"))
        await ensure_queue(api.at.services, "acme")
        waiting = queued(api.at.services, prepared.run, Priority.SCHEDULED, "for a test", token="t")
        writes: list[Write] = [Create(waiting.path, waiting.to_data()), ready_write("acme", ["-"])]
        await api.at.services.documents.commit(writes)
        text = (await api.client.get("/metrics")).text
        for line in (
            'convergence_runs_total{status="failed"} 1.0',
            'convergence_steps_total{status="retrying"} 1.0',
            "convergence_step_retries_total 1.0",
            "convergence_dead_letters_total 1.0",
            "convergence_queue_runs 1.0",
            "convergence_schedule_lag_seconds 0.0",
        ):
            assert f"\n{line}\n" in text, line
        assert "invented" not in text

    run_scenario(scenario)


def test_the_document_is_openapi_3_1_and_every_error_in_it_is_a_problem(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        document = (await api.client.get("/openapi.json")).json()
        assert document["openapi"].startswith("3.1")
        operations = [each for path in document["paths"].values() for each in path.values()]
        for operation in operations:
            errors = {code: each for code, each in operation["responses"].items() if code >= "400"}
            assert {"401", "422", "429", "500"} <= set(errors)
            assert all(list(each["content"]) == ["application/problem+json"] for each in errors.values())
        assert "Problem" in document["components"]["schemas"]

    run_scenario(scenario, orgs=())


def test_discovery_lists_pipelines_and_checks_files(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        found = (await api.ask("GET", "/validator/pipelines/openai")).json()["pipelines"]
        setup = next(each for each in found if each["name"] == "openai/auth/setup")
        assert (setup["display_name"], setup["provider"], setup["domain"]) == ("OpenAI set-up", "openai", "auth")
        assert setup["parameters"][0]["type"] == "secret"
        unknown = await api.ask("GET", "/validator/pipelines/opneai")
        assert (unknown.status_code, "Did you mean 'openai'" in unknown.json()["detail"]) == (404, True)
        headers = {"content-type": "application/yaml"}
        text = b"pipeline_id: x\nprovider: p\nsteps: [{step_id: a, ps_type: generic.nop}]\n"
        bad = (await api.ask("POST", "/validator/validate", org="acme", content=text, headers=headers)).json()
        assert not bad["valid"]
        assert [each["where"] for each in bad["problems"] if "generic.nop" in each["message"]] == ["pipeline.yml:3:22"]
        good = text.replace(b"nop", b"noop").replace(b"x\n", b'"{org_slug}-x"\n', 1)
        assert (await api.ask("POST", "/validator/validate", org="acme", content=good, headers=headers)).json()["valid"]
        assert (await api.ask("POST", "/validator/validate", content=good, headers=headers)).status_code == 401

    run_scenario(scenario)


def test_procedures_are_synchronised_listed_and_removed(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        files = (await api.ask("GET", "/procedures/files", headers=ROOT)).json()["procedures"]
        synced = (await api.ask("POST", "/procedures/sync", headers=ROOT)).json()["synced"]
        assert sorted(synced) == [each["name"] for each in files]
        assert (await api.ask("POST", "/procedures/sync", headers=ROOT)).json() == {"synced": [], "failed": {}}
        path = f"/procedures/{synced[0]}"
        forced = (await api.ask("POST", path, headers=ROOT, params={"force": "true"})).json()
        assert forced == {"synced": [synced[0]], "failed": {}}
        assert (await api.ask("GET", path, headers=ROOT)).json() in files
        assert (await api.ask("DELETE", path, headers=ROOT)).status_code == 204
        for method in ("GET", "DELETE"):
            assert (await api.ask(method, path, headers=ROOT)).status_code == 404

    run_scenario(scenario, orgs=())


def test_a_migration_runs_in_every_orgs_dataset_once(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        folder = api.installation.services.configs_dir / "system" / "migrations"
        folder.mkdir()
        (folder / "001_notes.sql").write_text("CREATE TABLE notes (text STRING);")
        path = "/migrations/001_notes/execute"
        everywhere = {"acme_dev": ["001_notes"], "globex_dev": ["001_notes"]}
        rehearsed = await api.ask("POST", path, headers=ROOT, params={"dry_run": "true"})
        assert rehearsed.json() == {"dry_run": True, "migrated": everywhere}
        assert (await api.ask("POST", path, headers=ROOT)).json() == {"dry_run": False, "migrated": everywhere}
        assert (await api.ask("POST", path, headers=ROOT)).json()["migrated"] == {"acme_dev": [], "globex_dev": []}
        assert (await api.ask("POST", "/migrations/002/execute", headers=ROOT)).status_code == 404
        assert (await api.ask("POST", "/migrations/execute", headers=ROOT)).json()["migrated"] == {
            "acme_dev": [],
            "globex_dev": [],
        }
        assert (await api.ask("POST", path, org="acme")).status_code == 401

    run_scenario(scenario, orgs=("acme", "globex"))
