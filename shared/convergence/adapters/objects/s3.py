"""A bucket at AWS, through boto3; bytes go straight to the file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from convergence.adapters.aws.keys import checked_region, read_keys
from convergence.adapters.aws.session import make_client
from convergence.adapters.objects.threaded import ThreadedStore, require
from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, Transient
from convergence.ports.object_store import Place, StoredObject

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

PIECE: Final = 1 << 20
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_OPTIONS: Final = frozenset({"region", "bucket_owner"})
_MISSING: Final = frozenset({"NoSuchKey", "NoSuchBucket", "404", "NotFound"})
_REJECTED: Final = frozenset(
    {"AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
     "ExpiredTokenException", "InvalidClientTokenId", "AllAccessDisabled", "AccountProblem"}
)  # fmt: skip
_ELSEWHERE: Final = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "301", "IllegalLocationConstraintException"}
)
_ADVICE: Final = (
    "it needs s3:ListBucket on the bucket and s3:GetObject on its files; to write, s3:PutObject and s3:DeleteObject"
)


class S3Store(ThreadedStore):
    """One bucket; `client` is made on first use, on a thread."""

    def __init__(self, bucket: str, owner: str, client: Callable[[], Any]) -> None:
        super().__init__(f"s3://{bucket}")
        self._bucket, self._make = bucket, client
        self._more = {"ExpectedBucketOwner": owner} if owner else {}

    async def _open(self) -> Any:
        return await asyncio.to_thread(self._make)

    def _list(self, client: Any, prefix: str, most: int) -> list[StoredObject]:
        found: list[StoredObject] = []
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix, **self._more)
        for page in pages:
            found += [
                StoredObject(each["Key"], each["Size"], each["LastModified"], each["ETag"])
                for each in page.get("Contents", ())
                if not each["Key"].endswith("/")
            ]
            if len(found) > most:
                raise self._too_many(prefix, most)
        return sorted(found, key=lambda each: each.name)

    def _fetch(self, client: Any, name: str, into: Path, bytes_max: int) -> StoredObject:
        answer = client.get_object(Bucket=self._bucket, Key=name, **self._more)
        size = int(answer["ContentLength"])
        if size > bytes_max:
            raise self._too_large(name, size, bytes_max)
        with closing(answer["Body"]) as body, into.open("wb") as target:
            for piece in body.iter_chunks(PIECE):
                target.write(piece)
            if target.tell() != size:
                raise Transient(f"{self._shown}/{name}: {target.tell():,} of {size:,} bytes arrived")
        return StoredObject(name, size, answer["LastModified"], answer["ETag"])

    def _put(self, client: Any, name: str, content: Path) -> None:
        with content.open("rb") as body:
            client.put_object(Bucket=self._bucket, Key=name, Body=body, **self._more)

    def _remove(self, client: Any, name: str) -> None:
        client.delete_object(Bucket=self._bucket, Key=name, **self._more)

    def _reported(self, error: Exception, shown: str) -> ConvergenceError | None:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        if isinstance(error, ClientError):
            return s3_error(error, shown)
        if isinstance(error, NoCredentialsError):
            return StepFailed(
                "this installation has no AWS identity that could assume the role: store access_key_id and"
                " secret_access_key too"
            )
        return (
            Transient(f"{shown} could not be reached: {type(error).__name__}")
            if isinstance(error, BotoCoreError)
            else None
        )


def open_s3(place: Place, secret: str, *, org: str, endpoint: str) -> S3Store:
    """Return the store of a bucket.

    `secret` is JSON: access_key_id and secret_access_key; or role_arn, which this installation's own identity assumes
    with the external id `convergence-{org}`; or both, with an external_id of choice. `endpoint` comes from the registry
    of providers; empty for AWS itself.

    Raises `StepFailed` for what is not of these forms.
    """
    require("boto3", "aws", "buckets of AWS need boto3")
    if not _BUCKET.fullmatch(place.root):
        raise StepFailed(f"{place.root[:70]!r} is not the name of a bucket")
    unknown = place.options.keys() - _OPTIONS
    if unknown:
        raise StepFailed(
            f"source.options: {min(unknown)!r} is not a known option; an S3 bucket takes {', '.join(sorted(_OPTIONS))}"
        )
    region = checked_region(place.options.get("region") or "us-east-1", "source.options.region")
    owner = place.options.get("bucket_owner", "")
    if owner and not re.fullmatch(r"\d{12}", owner):
        raise StepFailed("source.options.bucket_owner must be the 12-digit id of an account")
    keys = read_keys(secret, org)
    return S3Store(place.root, owner, lambda: _client(keys, region, endpoint, org))


def _client(keys: Mapping[str, str], region: str, endpoint: str, org: str) -> Any:
    from botocore.config import Config

    style = "path" if endpoint else "virtual"
    own = Config(signature_version="s3v4", s3={"addressing_style": style})
    return make_client("s3", keys, region=region, endpoint=endpoint, org=org, config=own)


def s3_error(error: ClientError, shown: str) -> ConvergenceError:
    """Return the product's error for AWS's, with what to do; the request and its signature are left out."""
    detail = error.response.get("Error", {})
    code, message = str(detail.get("Code", "")), str(detail.get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if error.operation_name == "AssumeRole" and status < 500:
        return CredentialRejected(
            f"AWS does not let this installation assume the role ({code}): check its ARN, and the external id in its"
            " trust policy"
        )
    if code == "RequestTimeTooSkewed":
        return StepFailed(f"{shown}: AWS rejects the signature as too old: correct the clock of this machine")
    if code.startswith("KMS.") or "kms:" in message:
        return CredentialRejected(f"{shown} is encrypted with a key that the credential may not use: allow kms:Decrypt")
    if code in _MISSING or (status == 404 and code not in _REJECTED):
        return StepFailed(
            f"{shown} does not exist ({code}): a part of this delivery is missing, or the bucket's name is wrong"
        )
    if code in _ELSEWHERE:
        return StepFailed(f"{shown} is in another region: set source.options.region")
    if code in _REJECTED:
        return CredentialRejected(
            f"{shown}: AWS refuses the credential ({code}); {_ADVICE}. A role may have expired, or the bucket may"
            " belong to another account"
        )
    if status >= 500 or code in {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException"}:
        return Transient(f"{shown}: AWS is busy ({code})")
    return StepFailed(f"{shown}: AWS refuses the request ({code})")
