"""A client of one service of AWS, by keys or by an assumed role."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def make_client(
    service: str, keys: Mapping[str, str], *, region: str, endpoint: str, org: str, config: Any = None
) -> Any:
    """Return boto3's client; a role is assumed first, for an hour. It blocks: call it on a thread.

    `keys` are those of `read_keys`; `endpoint` is empty for AWS itself; `config` has the service's own options.
    """
    import boto3

    own = {
        "aws_access_key_id": keys.get("access_key_id"),
        "aws_secret_access_key": keys.get("secret_access_key"),
        "aws_session_token": keys.get("session_token"),
    }
    times = _config() if config is None else _config().merge(config)
    given = {"region_name": region, "config": times, **({"endpoint_url": endpoint} if endpoint else {})}
    session = boto3.session.Session()
    if "role_arn" in keys:
        external = {"ExternalId": keys["external_id"]} if "external_id" in keys else {}
        name = re.sub(r"[^\w+=,.@-]", "-", f"convergence-{org}")[:64]
        answer = session.client("sts", **given, **own).assume_role(
            RoleArn=keys["role_arn"], RoleSessionName=name, DurationSeconds=3600, **external
        )
        assumed = answer["Credentials"]
        own = {
            "aws_access_key_id": assumed["AccessKeyId"],
            "aws_secret_access_key": assumed["SecretAccessKey"],
            "aws_session_token": assumed["SessionToken"],
        }
    return session.client(service, **given, **own)


def _config() -> Any:
    from botocore.config import Config

    return Config(
        connect_timeout=10,
        read_timeout=60,
        retries={"total_max_attempts": 3, "mode": "standard"},
        ignore_configured_endpoint_urls=True,  # only the registry defines the address
    )
