"""`cloud.aws.bedrock_throughputs`: provisioned throughput as it is now → `cloud_aws_bedrock_throughputs_raw`.

Units are compared with the org's commitments; their cost is in the bill of AWS. Source: Bedrock API reference,
ListProvisionedModelThroughputs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import Field

from convergence.errors import StepFailed
from convergence.ports.aws_accounts import AwsApi
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.genai.commitments.listed import committed, differences, store
from convergence.processors.settings import CredentialSettings, Destination, settings, table_of

TABLE: Final = "cloud_aws_bedrock_throughputs_raw"
SERVING: Final = frozenset({"InService", "Updating"})
PAGES_MAX: Final = 1_000


class BedrockThroughputsSettings(CredentialSettings):
    """`regions`: all in which the account has throughput. `url`: a stand-in on this machine."""

    secret: str = "aws"  # noqa: S105 - the name of a secret
    regions: Sequence[str] = Field(min_length=1, max_length=50)
    url: str = ""


class BedrockThroughputs:
    """One list for each region; the rows of a day are those of its last listing."""

    config_model = BedrockThroughputsSettings
    destination_model = Destination
    fixed_table = TABLE

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """List, and replace the rows of today; units that differ from the commitments' are warnings.

        Raises:
            StepFailed: an answer of another shape.
            CredentialRejected: the account may not list them.
        """
        options = settings(BedrockThroughputsSettings, step_config)
        secret, rows = await context.secrets.open(options.secret), list[Row]()
        for region in dict.fromkeys(options.regions):
            api = await context.aws.open("bedrock", secret, region=region, url=options.url)
            rows += [row_of(each, region) async for each in _listed(api)]
        bought = await committed(context, "bedrock")
        warnings = [*differences(units_of(rows, bought), bought, "provisioned throughput", "model units")]
        return await store(context, table_of(step_config, TABLE), rows, warnings)


async def _listed(api: AwsApi) -> AsyncIterator[Any]:
    """Yield the records of all pages. Raises `StepFailed` for a list that does not end, or has another shape."""
    asked: dict[str, Any] = {}
    for _ in range(PAGES_MAX):
        answer = await api.call("list_provisioned_model_throughputs", asked)
        found = answer.get("provisionedModelSummaries")
        if not isinstance(found, list):
            raise StepFailed("Bedrock answers without provisionedModelSummaries")
        for each in found:
            yield each
        token = answer.get("nextToken")
        if not token:
            return
        if token == asked.get("nextToken"):
            break
        asked = {"nextToken": token}
    raise StepFailed("Bedrock's list of provisioned throughput does not end")


def row_of(record: Any, region: str) -> Row:
    """Return the row of a record. Raises `StepFailed` for one of another shape."""
    try:
        arn = str(record["provisionedModelArn"])
        return {
            "account_id": arn.split(":")[4],
            "region": region,
            "arn": arn,
            "name": str(record["provisionedModelName"]),
            "model_arn": str(record["modelArn"]),
            "foundation_model_arn": record.get("foundationModelArn"),
            "units": int(record["modelUnits"]),
            "desired_units": record.get("desiredModelUnits"),
            "status": record["status"],
            "commitment_duration": record.get("commitmentDuration"),
            "commitment_ends_at": record.get("commitmentExpirationTime"),
            "raw": {name: _text(value) for name, value in record.items()},
        }
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StepFailed(f"Bedrock: the list of provisioned throughput has an unexpected shape ({error!r})") from error


def units_of(rows: Sequence[Row], bought: Mapping[str, int]) -> dict[str, int]:
    """Return the units of `rows` by the name that a commitment has for them: the throughput's, or its model's.

    One without a commitment counts by its ARN, if AWS says that there is a term.
    """
    found: dict[str, int] = {}
    for row in rows:
        names = [name for each in ("arn", "name", "model_arn") for name in (row[each], row[each].partition("/")[2])]
        known = next((name for name in names if name in bought), row["arn"] if row["commitment_duration"] else None)
        if known is not None and row["status"] in SERVING:
            found[known] = found.get(known, 0) + row["units"]
    return found


def _text(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def get_engine() -> BedrockThroughputs:
    """Return the processor."""
    return BedrockThroughputs()
