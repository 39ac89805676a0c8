"""AWS's side: the caller's identity (STS, GetCallerIdentity), the costs of its account (Cost Explorer,
GetCostAndUsage), the metrics of its calls of Bedrock (CloudWatch, ListMetrics and GetMetricData) and the provisioned
throughput there (ListProvisionedModelThroughputs).

Shapes follow the service models sts 2011-06-15, ce 2017-10-25, cloudwatch 2010-08-01 and bedrock 2023-04-20. Figures
are made up and the same each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

import orjson

from convergence.sandbox.http import Request, Response

PATH: Final = "/v1/aws/"
ACCOUNT: Final = "210987654321"
MEMBER: Final = "111122223333"
MODELS: Final = ("anthropic.claude-sonnet-4-20250514-v1:0", "amazon.nova-lite-v1:0")
_THROUGHPUTS: Final = f"{PATH}provisioned-model-throughputs"
PAGE_GROUPS: Final = 20  # the service has thousands
OPEN_SINCE: Final = date(2026, 11, 1)  # figures from this day on are estimates
_DIGITS: Final = Decimal(1).scaleb(-10)
_IDENTITY: Final = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    f"<Arn>arn:aws:iam::{ACCOUNT}:user/sandbox</Arn><UserId>AIDASANDBOX</UserId><Account>{ACCOUNT}</Account>"
    "</GetCallerIdentityResult><ResponseMetadata><RequestId>sandbox</RequestId></ResponseMetadata>"
    "</GetCallerIdentityResponse>"
)


class Line(NamedTuple):
    """What is charged each day: a quantity, which grows with the day of the month, at a price."""

    record_type: str
    service: str
    usage_type: str
    account: str
    quantity: Decimal
    unit: str
    price: Decimal
    amortised: Decimal  # of a dollar of cost


LINES: Final = tuple(
    Line(kind, service, usage, account, Decimal(quantity), unit, Decimal(price), Decimal(share))
    for kind, service, usage, account, quantity, unit, price, share in (
        ("Usage", "Amazon Elastic Compute Cloud - Compute", "BoxUsage:t3.medium", ACCOUNT, "24", "Hrs", "0.0416", "1"),
        ("Usage", "Amazon Simple Storage Service", "TimedStorage-ByteHrs", ACCOUNT, "8.1", "GB-Mo", "0.023", "1"),
        ("Usage", "Amazon Simple Storage Service", "Requests-Tier1", MEMBER, "377", "Requests", "0.000005", "1"),
        ("Usage", "AWS Lambda", "Lambda-GB-Second", MEMBER, "1e3", "Second", "0.0000166667", "1"),
        ("DiscountedUsage", "Amazon Relational Database Service", "InstanceUsage", ACCOUNT, "24", "Hrs", "0", "0"),
        ("Recurring reservation fee", "Amazon Relational Database Service", "Heavy", ACCOUNT, "1", "Hrs", "1.2", "0.5"),
        ("Credit", "Amazon Simple Storage Service", "TimedStorage-ByteHrs", ACCOUNT, "0", "GB-Mo", "0", "1"),
        ("Tax", "Tax", "NoUsageType", ACCOUNT, "1", "", "0.37", "1"),
    )
)  # fmt: skip


class Charge(NamedTuple):
    """A line on one day."""

    day: date
    line: Line
    quantity: Decimal
    cost: Decimal
    amortised: Decimal


def charges(first: date, end: date) -> list[Charge]:
    """Return what is charged from `first` to before `end`, line by line."""
    days = [first + timedelta(days=number) for number in range((end - first).days)]
    return [_charge(day, line) for day in days for line in LINES]


def is_ours(path: str) -> bool:
    """Return whether a request is for AWS."""
    return path.rstrip("/") in {PATH.rstrip("/"), _THROUGHPUTS}


def answer(request: Request) -> Response:
    """Answer these calls; others are refused, and so are keys other than the sandbox's."""
    if "Credential=sandbox/" not in request.headers.get("authorization", ""):
        return error("UnrecognizedClientException", "The security token included in the request is invalid.")
    if request.path == _THROUGHPUTS:
        return _throughputs(dict(request.query))
    if parse_qs(request.body.decode("latin-1")).get("Action") == ["GetCallerIdentity"]:
        return Response(200, _IDENTITY.encode(), content_type="text/xml")
    target = request.headers.get("x-amz-target", "")
    if target == "AWSInsightsIndexService.GetCostAndUsage":
        return _cost_and_usage(orjson.loads(request.body))
    if target == "GraniteServiceVersion20100801.ListMetrics":
        return _metrics(orjson.loads(request.body))
    if target == "GraniteServiceVersion20100801.GetMetricData":
        return _metric_data(orjson.loads(request.body))
    return error("UnknownOperationException", "The sandbox does not have this operation.")


def error(code: str, message: str, status: int = 400) -> Response:
    """Return an error in the shape of JSON services."""
    return Response(
        status, orjson.dumps({"__type": code, "message": message}), content_type="application/x-amz-json-1.1"
    )


def _throughputs(asked: Mapping[str, str]) -> Response:
    """Return one a page: a unit that is committed to for half a year, and one that is paid by the hour."""
    at, made = int(asked.get("nextToken", "0")), "2026-07-01T00:00:00Z"
    name, model = (("assistant", MODELS[0]), ("trial", MODELS[1]))[at]
    arn = f"arn:aws:bedrock:us-east-1::foundation-model/{model}"
    one = {
        "provisionedModelName": name,
        "provisionedModelArn": f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/abcdefghij0{at}",
        "modelArn": arn,
        "desiredModelArn": arn,
        "foundationModelArn": arn,
        "status": "InService",
        "modelUnits": 1,
        "desiredModelUnits": 1,
        "creationTime": made,
        "lastModifiedTime": made,
    }
    if at:
        return Response(200, orjson.dumps({"provisionedModelSummaries": [one]}))
    term = {"commitmentDuration": "SixMonths", "commitmentExpirationTime": "2027-01-01T00:00:00Z"}
    return Response(200, orjson.dumps({"provisionedModelSummaries": [one | term], "nextToken": "1"}))


def _charge(day: date, line: Line) -> Charge:
    quantity = line.quantity * (1 + Decimal(day.day) / 100)
    cost = (quantity * line.price).quantize(_DIGITS)
    if line.record_type == "Credit":
        cost = Decimal("-0.1234567891")
    return Charge(day, line, quantity, cost, (cost * line.amortised).quantize(_DIGITS))


def _cost_and_usage(asked: Mapping[str, Any]) -> Response:
    first, end = (date.fromisoformat(asked["TimePeriod"][name]) for name in ("Start", "End"))
    if first >= end:
        return error("ValidationException", "Start date (and hour) should be before end date (and hour)")
    only = asked.get("Filter", {}).get("Dimensions")
    found = [charge for charge in charges(first, end) if only is None or _value(charge, only["Key"]) in only["Values"]]
    sums: dict[tuple[date, tuple[str, ...]], list[Charge]] = {}
    for charge in found:
        keys = tuple(_value(charge, one["Key"]) for one in asked["GroupBy"])
        sums.setdefault((charge.day, keys), []).append(charge)
    start = int(asked.get("NextPageToken", "0"))
    page = list(sums.items())[start : start + PAGE_GROUPS]
    body: dict[str, Any] = {"GroupDefinitions": asked["GroupBy"], "ResultsByTime": [], "DimensionValueAttributes": []}
    if start + PAGE_GROUPS < len(sums):
        body["NextPageToken"] = str(start + PAGE_GROUPS)
    for day in sorted({day for (day, _), _ in page}):
        groups = [_group(keys, some, asked["Metrics"]) for (of, keys), some in page if of == day]
        period = {"Start": day.isoformat(), "End": (day + timedelta(days=1)).isoformat()}
        result = {"TimePeriod": period, "Total": {}, "Groups": groups, "Estimated": day >= OPEN_SINCE}
        body["ResultsByTime"].append(result)
    return Response(200, orjson.dumps(body), content_type="application/x-amz-json-1.1")


def _group(keys: tuple[str, ...], some: list[Charge], metrics: Iterable[str]) -> dict[str, Any]:
    units = {charge.line.unit for charge in some}
    unit = units.pop() if len(units) == 1 else "N/A"
    sums = {
        "UnblendedCost": (sum((one.cost for one in some), Decimal(0)), "USD"),
        "AmortizedCost": (sum((one.amortised for one in some), Decimal(0)), "USD"),
        "UsageQuantity": (sum((one.quantity for one in some), Decimal(0)), unit or "N/A"),
    }
    return {
        "Keys": keys,
        "Metrics": {name: {"Amount": f"{sums[name][0]:f}", "Unit": sums[name][1]} for name in metrics},
    }


def counted(day: date) -> dict[tuple[str, str], int]:
    """Return what CloudWatch counts on a day, by metric and model."""
    return {
        (metric, model): (number + 1) * 1_000 * day.day + place
        for number, metric in enumerate(("Invocations", "OutputTokenCount", "InputTokenCount"))
        for place, model in enumerate(MODELS)
    }


def _metrics(asked: Mapping[str, Any]) -> Response:
    """List the series two at a time; one is by model and size of its answer, and counts the same again."""
    series = [
        {"Namespace": asked["Namespace"], "MetricName": metric, "Dimensions": [{"Name": "ModelId", "Value": model}]}
        for metric, model in counted(OPEN_SINCE)
    ]
    sizes = [{"Name": "ModelId", "Value": MODELS[0]}, {"Name": "ImageSize", "Value": "small"}]
    series.append({"Namespace": asked["Namespace"], "MetricName": "Invocations", "Dimensions": sizes})
    start = int(asked.get("NextToken", "0"))
    more = {"NextToken": str(start + 2)} if start + 2 < len(series) else {}
    return Response(200, orjson.dumps({"Metrics": series[start : start + 2], **more}))


def _metric_data(asked: Mapping[str, Any]) -> Response:
    """Answer with the sums of one day at a time."""
    first, end = (datetime.fromtimestamp(asked[name], UTC).date() for name in ("StartTime", "EndTime"))
    day = first + timedelta(days=int(asked.get("NextToken", "0")))
    is_last = day + timedelta(days=1) >= end
    results = []
    for query in asked["MetricDataQueries"]:
        metric = query["MetricStat"]["Metric"]
        count = counted(day)[metric["MetricName"], metric["Dimensions"][0]["Value"]]
        at = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        state = "Complete" if is_last else "PartialData"
        results.append({"Id": query["Id"], "Timestamps": [at], "Values": [float(count)], "StatusCode": state})
    more = {} if is_last else {"NextToken": str((day - first).days + 1)}
    return Response(200, orjson.dumps({"MetricDataResults": results, "Messages": [], **more}))


def _value(charge: Charge, dimension: str) -> str:
    line = charge.line
    return {
        "RECORD_TYPE": line.record_type,
        "SERVICE": line.service,
        "USAGE_TYPE": line.usage_type,
        "LINKED_ACCOUNT": line.account,
    }[dimension]
