"""A credential of AWS: keys, or a role that is assumed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import orjson

from convergence.errors import StepFailed

_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}")
_REGION: Final = re.compile(r"[a-z]{2,4}(-[a-z]+){1,3}-\d{1,2}")
_KEYS: Final = frozenset({"access_key_id", "secret_access_key", "session_token", "role_arn", "external_id"})


def read_keys(secret: str, org: str) -> Mapping[str, str]:
    """Return a credential's fields, the external id filled in. Raises `StepFailed`, without its text."""
    try:
        found = orjson.loads(secret)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) and value for value in found.values()):
        raise StepFailed(
            "the credential of aws is not a JSON object of strings: store access_key_id and secret_access_key, or"
            " role_arn"
        )
    unknown = found.keys() - _KEYS
    own = {"access_key_id", "secret_access_key"} <= found.keys()
    if (
        unknown
        or not (own or "role_arn" in found)
        or (found.keys() & {"access_key_id", "secret_access_key"} and not own)
    ):
        raise StepFailed(
            "the credential of aws must have access_key_id and secret_access_key, or role_arn, or both; session_token"
            " and external_id are optional"
        )
    if "role_arn" in found and not _ROLE.fullmatch(found["role_arn"]):
        raise StepFailed("role_arn is not the ARN of an IAM role")
    if "role_arn" in found and not own:  # or one org could assume a role that trusts this installation for another
        expected = f"convergence-{org}"
        if found.get("external_id", expected) != expected:
            raise StepFailed(f"the external id of this org is {expected!r}: put it into the role's trust policy")
        return {**found, "external_id": expected}
    return found


def checked_region(region: str, where: str) -> str:
    """Return the name of a region. Raises `StepFailed` that names `where` it was given."""
    if not _REGION.fullmatch(region):
        raise StepFailed(f"{where}: {region[:40]!r} is not a region of AWS")
    return region
