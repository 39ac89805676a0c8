"""Logs of model invocations of Bedrock: the real boto3 and moto's server to the tables of usage, and the sandbox's."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from convergence.sandbox import aws as sandbox
from convergence.sandbox import bedrock_logs
from tests.unit.processors.bills import charges
from tests.unit.processors.installation import CONFIGS, Here, installed

Files = Mapping[str, Sequence[dict[str, Any]]]
PIPELINE = "cloud/aws/usage/bedrock_logs"
KEYS = '{"access_key_id": "sandbox", "secret_access_key": "sandbox"}'
PROFILE = "arn:aws:bedrock:us-east-1:210987654321:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0"
NOVA = "amazon.nova-lite-v1:0"
PROMPT = "the secret plan of the board"
DAYS = {"start_date": "2026-11-18", "end_date": "2026-11-19"}


def call(number: int, at: str, model: str = NOVA, region: str = "us-east-1", **tokens: int) -> dict[str, Any]:
    """A record as in the user guide (schemaVersion 1.0); counts that are not given are not in it."""
    names = {"read": "cacheReadInputTokenCount", "written": "cacheWriteInputTokenCount"}
    read = {names[name]: count for name, count in tokens.items() if name in names}
    return {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": at,
        "accountId": "210987654321",
        "identity": {"arn": "arn:aws:sts::210987654321:assumed-role/support-bot/i-0abc"},
        "region": region,
        "requestId": f"ff4b6c63-5561-4431-93b8-{number:012}",
        "operation": "ConverseStream",
        "modelId": model,
        "input": {
            "inputContentType": "application/json",
            "inputBodyJson": {"messages": [{"role": "user", "content": [{"text": f'{PROMPT} "{number}"\n'}]}]},
            "inputTokenCount": tokens["input"],
            **read,
        },
        "output": {
            "outputContentType": "application/json",
            "outputBodyJson": [{"messageStop": {"stopReason": "end_turn"}}, {"metadata": {"usage": {}}}],
            "outputTokenCount": tokens["output"],
        },
    }


def failed(number: int, at: str) -> dict[str, Any]:
    """A throttled call: it has no output, and a key that others do not have."""
    record = {**call(number, at, input=0, output=0), "errorCode": "ThrottlingException"}
    del record["output"]
    return record


# File below the day's folder → its records.
EIGHTEENTH = {
    "09/20261118T091500123Z_1a2b3c.json.gz": [
        call(1, "2026-11-18T09:12:01Z", input=12, output=340),
        call(2, "2026-11-18T09:13:07Z", PROFILE, input=5, output=70, read=9_000, written=400),
        failed(3, "2026-11-18T09:14:00Z"),
    ],
    "23/20261118T235900004Z_4d5e6f.json.gz": [
        call(1, "2026-11-18T09:12:01Z", input=12, output=340),  # delivered twice
        {**call(4, "2026-11-18T23:40:00Z", input=30, output=1), "inferenceRegion": "us-west-2"},
    ],
}
NINETEENTH = {
    "00/20261119T000200004Z_7a8b9c.json.gz": [
        call(5, "2026-11-18T23:59:59Z", input=7, output=8),  # just before midnight
        call(6, "2026-11-19T00:00:00Z", input=1_000, output=2),
    ],
}
IRELAND = {
    "10/20261118T101500123Z_aaaaaa.json.gz": [call(7, "2026-11-18T10:00:00Z", NOVA, "eu-west-1", input=3, output=4)]
}


def deliver(client: Any, bucket: str, day: str, files: Files, region: str) -> None:
    root = f"logs/AWSLogs/210987654321/BedrockModelInvocationLogs/{region}/{day}/"
    for name, records in files.items():
        lines = b"".join(json.dumps(each).encode() + b"\n" for each in records)
        client.put_object(Bucket=bucket, Key=root + name, Body=gzip.compress(lines))
    body = gzip.compress(json.dumps({"messages": [PROMPT * 9_000]}).encode())  # of a body over 100 KB
    client.put_object(Bucket=bucket, Key=f"{root}09/data/ff4b6c63_input.json.gz", Body=body)
    client.put_object(Bucket=bucket, Key=root.partition(region)[0] + "amazon-bedrock-logs-permission-check", Body=b"")


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Path]:
    """The configs of an installation for which AWS is moto's server, with a bucket in each of two regions."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    configs = tmp_path / "configs"
    shutil.copytree(CONFIGS, configs)
    registry = configs / "system/providers.yml"
    line = "    display_name: AWS\n"
    registry.write_text(registry.read_text().replace(line, f"{line}    api_base_url: http://{host}:{port}\n"))
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys)
    for bucket in ("virginia", "ireland"):
        client.create_bucket(Bucket=bucket)
    deliver(client, "virginia", "2026/11/18", EIGHTEENTH, "us-east-1")
    deliver(client, "virginia", "2026/11/19", NINETEENTH, "us-east-1")
    deliver(client, "ireland", "2026/11/18", IRELAND, "eu-west-1")
    client.close()
    yield configs
    server.stop()


def running(tmp_path: Path, configs: Path, work: Callable[[Here], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with installed(tmp_path / "data", configs=configs) as here:
            await here.good("aws/auth/setup", api_key=KEYS)
            await work(here)

    asyncio.run(main())


def asked(bucket: str, region: str) -> dict[str, str]:
    path = f"logs/AWSLogs/210987654321/BedrockModelInvocationLogs/{region}/"
    return {"bucket": bucket, "path": path, "region": region, **DAYS}


def expected(region: str, *files: Files) -> dict[tuple[str, str, str, str], int]:
    """The sums, added up record by record."""
    found: dict[tuple[str, str, str, str], int] = {}
    records = {each["requestId"]: each for one in files for lines in one.values() for each in lines}
    for each in records.values():
        counts = {
            "input tokens": each["input"]["inputTokenCount"],
            "output tokens": each.get("output", {}).get("outputTokenCount", 0),
            "cached input tokens": each["input"].get("cacheReadInputTokenCount", 0),
            "cache write tokens": each["input"].get("cacheWriteInputTokenCount", 0),
            "requests": 0 if "errorCode" in each else 1,
        }
        for sku, count in counts.items():
            key = (each["timestamp"][:10], region, each["modelId"], sku)
            found[key] = found.get(key, 0) + count
    return {key: count for key, count in found.items() if count}


async def counted(here: Here) -> dict[tuple[str, str, str, str], int]:
    sql = "SELECT usage_date, sub_account_id, model, sku, quantity, account_id FROM genai_metrics_daily_raw_current"
    rows = await here.rows(sql)
    assert {row["account_id"] for row in rows} == {"210987654321"}
    found = {(str(row["usage_date"]), row["sub_account_id"], row["model"], row["sku"]): row["quantity"] for row in rows}
    assert len(found) == len(rows)
    return found


def test_calls_add_up_each_once_by_day_region_and_model(tmp_path: Path, aws: Path) -> None:
    virginia, ireland = expected("us-east-1", EIGHTEENTH, NINETEENTH), expected("eu-west-1", IRELAND)
    assert virginia["2026-11-18", "us-east-1", NOVA, "input tokens"] == 12 + 30 + 7

    async def work(here: Here) -> None:
        for _ in range(2):
            await here.good(PIPELINE, **asked("virginia", "us-east-1"))
            assert await counted(here) == virginia
        await here.good(PIPELINE, **asked("ireland", "eu-west-1"))  # no files on the 19th
        assert await counted(here) == virginia | ireland
        (row,) = await here.rows("SELECT * FROM cloud_aws_bedrock_invocations_raw WHERE inference_region = 'us-west-2'")
        assert row["identity_arn"] == "arn:aws:sts::210987654321:assumed-role/support-bot/i-0abc"
        every = await here.rows("SELECT TO_JSON_STRING(made) AS text FROM cloud_aws_bedrock_invocations_raw AS made")
        assert len(every) == 7
        assert not any(PROMPT in row["text"] for row in every)

    running(tmp_path, aws, work)


def test_a_record_that_is_not_whole_stops_the_run_without_the_prompt(tmp_path: Path, aws: Path) -> None:
    async def work(here: Here) -> None:
        run = await here.run(PIPELINE, **{**asked("virginia", "us-east-1"), "path": "broken/"})
        assert run.status == "failed"
        assert "is not INT64: 'many'" in str(run.error)
        assert PROMPT not in str(run.error)

    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
    url = next(line for line in (aws / "system/providers.yml").read_text().splitlines() if "http://127" in line)
    client = boto3.client("s3", endpoint_url=url.partition(": ")[2], **keys)
    record = call(8, "2026-11-18T10:00:00Z", input=1, output=1)
    record["input"]["inputTokenCount"] = "many"
    body = gzip.compress(json.dumps(record).encode())
    client.put_object(Bucket="virginia", Key="broken/2026/11/18/10/20261118T1_x.json.gz", Body=body)
    client.close()
    running(tmp_path, aws, work)


def test_they_stand_in_for_cloudwatch_and_are_no_cost(tmp_path: Path) -> None:
    """The sandbox has the same tokens in both: whichever is read last counts, and neither is added to the bill."""

    async def work(here: Here) -> None:
        last = here.installation.services.clock.now().date() - timedelta(days=1)
        days = [last - timedelta(days=1), last]
        day = {"start_date": str(days[0]), "end_date": str(last)}
        url = {"aws_url": f"{here.url}/aws", **day}
        await here.good("cloud/aws/cost/cost_explorer", **url)
        bill = await charges(here, "COUNT(*), SUM(BilledCost)")
        logs = {"place": "https", "logs_url": f"{here.url}/bedrock-logs/%Y-%m-%d.json.gz", "bucket": "b", "path": "p/"}
        tokens = sum(count for each in days for (kind, _), count in sandbox.counted(each).items() if "Token" in kind)
        requests = {
            PIPELINE: bedrock_logs.CALLS * len(sandbox.MODELS) * len(days),
            "cloud/aws/usage/bedrock": sum(
                count for each in days for (kind, _), count in sandbox.counted(each).items() if kind == "Invocations"
            ),
        }
        for pipeline, given in (
            ("cloud/aws/usage/bedrock", {"regions": "us-east-1", **url}),
            (PIPELINE, {**logs, **day}),
            ("cloud/aws/usage/bedrock", {"regions": "us-east-1", **url}),
        ):
            await here.good(pipeline, **given)
            await here.good("genai/unified/consolidate", **day)
            sql = (
                "SELECT unit, SUM(quantity) AS n, COUNT(cost) AS costs FROM genai_usage_cost_daily_unified"
                " WHERE provider = 'bedrock' GROUP BY unit"
            )
            found = {row["unit"]: (row["n"], row["costs"]) for row in await here.rows(sql)}
            assert found == {"Tokens": (tokens, 0), "Requests": (requests[pipeline], 0)}, pipeline
            assert await charges(here, "COUNT(*), SUM(BilledCost)") == bill

    running(tmp_path, CONFIGS, work)
