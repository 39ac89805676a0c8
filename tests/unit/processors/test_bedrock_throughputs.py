"""`cloud.aws.bedrock_throughputs`: the real boto3 against the sandbox; pages, units, terms, and the commitments."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import CredentialRejected, StepFailed
from convergence.processors.cloud.aws.bedrock_throughputs import BedrockThroughputs, row_of, units_of
from convergence.sandbox import aws
from convergence.sandbox.http import HttpServer, Response
from tests.unit.processors.installation import installed
from tests.unit.processors.step_world import ManualClock, Vault, WorldContext

PIPELINE = "cloud/aws/commitment/bedrock_throughputs"
KEYS = '{"access_key_id": "sandbox", "secret_access_key": "sandbox"}'
ARN = f"arn:aws:bedrock:us-east-1:{aws.ACCOUNT}:provisioned-model/abcdefghij00"
HEAD = "commitment_id,provider,units,unit_price,currency,billing_cycle,starts_on,ends_on,resource\n"


def terms(**units: int) -> str:
    """Return commitments of units, by the resources that they serve."""
    term = "1,USD,hourly,2023-01-01,2032-12-31"
    return HEAD + "".join(f"mu-{name},bedrock,{many},{term},{name}\n" for name, many in units.items())


def listed(folder: Path, commitments: str) -> tuple[list[str], list[Mapping[str, Any]]]:
    """Return the warnings of a listing whose org has these commitments, and the rows."""

    async def main() -> tuple[list[str], list[Mapping[str, Any]]]:
        async with installed(folder) as here:
            await here.good("aws/auth/setup", api_key=KEYS)
            await here.good("genai/commitment/edit", action="import", commitments_csv=commitments)
            for _ in range(2):  # the same day again replaces its rows
                done = await here.good(PIPELINE, regions="us-east-1", aws_url=f"{here.url}/aws")
            sql = "SELECT * FROM cloud_aws_bedrock_throughputs_raw ORDER BY name"
            return done["extract_throughputs"]["warnings"], await here.rows(sql)

    return asyncio.run(main())


def test_throughput_is_listed_with_units_and_term(tmp_path: Path) -> None:
    warnings, rows = listed(tmp_path, terms(abcdefghij00=1))
    assert warnings == [], "one that is paid by the hour is not a commitment, unless the org says so"
    facts = ("name", "account_id", "region", "units", "status", "commitment_duration", "commitment_ends_at")
    term = ("SixMonths", datetime(2027, 1, 1, tzinfo=UTC))
    assert [tuple(row[name] for name in facts) for row in rows] == [
        ("assistant", aws.ACCOUNT, "us-east-1", 1, "InService", *term),
        ("trial", aws.ACCOUNT, "us-east-1", 1, "InService", None, None),
    ]
    assert [row["model_arn"].rpartition("/")[2] for row in rows] == list(aws.MODELS)


def test_units_that_differ_from_the_commitments_are_warnings(tmp_path: Path) -> None:
    warnings, _ = listed(tmp_path, terms(gone=5, trial=3))
    assert warnings == [
        f"the provisioned throughput '{ARN}' has 1 model units, the commitments have no model units for it",
        "the provisioned throughput 'gone' has no model units, the commitments have 5 model units for it",
        "the provisioned throughput 'trial' has 1 model units, the commitments have 3 model units for it",
    ]


def test_a_commitment_may_name_the_model() -> None:
    """Throughputs of one model add up; one that failed serves nothing."""
    row: dict[str, Any] = {"arn": ARN, "name": "a", "model_arn": "arn:aws:bedrock:us-east-1::foundation-model/m"}
    rows = [row | {"units": 2, "status": status, "commitment_duration": None} for status in ("InService", "Failed")]
    assert units_of([*rows, rows[0]], {"m": 4}) == {"m": 4}


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (Response(200, b'{"provisionedModelSummaries": [], "nextToken": "1"}'), StepFailed, "does not end"),
        (Response(200, b"{}"), StepFailed, "answers without provisionedModelSummaries"),
        (Response(200, b'{"provisionedModelSummaries": [{}]}'), StepFailed, "has an unexpected shape"),
        (
            Response(403, b'{"message": "no"}', {"x-amzn-errortype": "AccessDeniedException"}),
            CredentialRejected,
            "list_provisioned_model_throughputs) refuses the credential (AccessDeniedException)",
        ),
    ],
)
def test_an_answer_that_is_not_a_whole_list_changes_nothing(answer: Response, kind: type[Exception], said: str) -> None:
    async def main() -> None:
        server = HttpServer(lambda _: answer)
        context = WorldContext(None, None, ManualClock(), secrets=Vault({"aws": KEYS}))
        step = {"config": {"regions": ["us-east-1"], "url": await server.start()}}
        try:
            with pytest.raises(kind) as caught:
                await BedrockThroughputs().execute(step, context)
            assert said in str(caught.value)
        finally:
            await context.aws.close()
            await server.stop()

    asyncio.run(main())


@pytest.mark.parametrize("record", [None, [], {}, {"provisionedModelArn": "a", "provisionedModelName": "b"}])
def test_a_record_of_another_shape_is_an_error(record: Any) -> None:
    with pytest.raises(StepFailed, match="has an unexpected shape"):
        row_of(record, "us-east-1")
