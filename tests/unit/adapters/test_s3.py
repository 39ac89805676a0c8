"""Buckets of AWS: the real boto3 against moto's server, behind a proxy that answers what moto does not simulate."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from convergence.adapters.aws.keys import read_keys
from convergence.adapters.objects.s3 import open_s3
from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, Transient
from convergence.ports.object_store import Place, StoredObject
from convergence.sandbox.http import HttpServer, Response

KEYS = json.dumps({"access_key_id": "AKIATEST", "secret_access_key": "s3cret-of-the-org"})
ROLE = "arn:aws:iam::123456789012:role/billing"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The address of a server with the bucket `bills` and five files in it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    client.create_bucket(Bucket="bills")
    for number in range(5):
        client.put_object(Bucket="bills", Key=f"cur/{number}.csv", Body=b"x" * number)
    client.close()
    yield url
    server.stop()


async def using(work: Any, url: str, secret: str = KEYS, **place: Any) -> Any:
    store = open_s3(Place(kind="s3", **{"root": "bills", **place}), secret, org="acme", endpoint=url)
    try:
        return await work(store)
    finally:
        await store.close()


async def _list(store: Any) -> list[StoredObject]:
    return list(await store.list("cur/", most=10))


def failing(answer: Response, work: Any = _list, secret: str = KEYS) -> ConvergenceError:
    """Return the error when every request is answered with `answer`."""

    async def main() -> ConvergenceError:
        server = HttpServer(lambda _: answer)
        url = await server.start()
        try:
            await using(work, url, secret)
        except ConvergenceError as error:
            return error
        finally:
            await server.stop()
        raise AssertionError("it succeeded")

    return asyncio.run(main())


def xml(code: str, status: int, message: str = "said") -> Response:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(status, body.encode(), content_type="application/xml")


def test_files_are_listed_and_fetched(aws: str, tmp_path: Path) -> None:
    async def work(store: Any) -> None:
        listed = await store.list("cur/", most=10)
        assert [(each.name, each.size) for each in listed] == [(f"cur/{number}.csv", number) for number in range(5)]
        came = await store.fetch("cur/4.csv", tmp_path / "came", bytes_max=4)
        assert (came.size, came.tag, (tmp_path / "came").read_bytes()) == (4, listed[4].tag, b"xxxx")
        with pytest.raises(StepFailed, match="has 4 bytes, more than 3"):
            await store.fetch("cur/4.csv", tmp_path / "came", bytes_max=3)
        with pytest.raises(StepFailed, match="more than 4 files"):
            await store.list("cur/", most=4)
        with pytest.raises(StepFailed, match=r"s3://bills/cur/9\.csv does not exist"):
            await store.fetch("cur/9.csv", tmp_path / "came", bytes_max=9)

    asyncio.run(using(work, aws))


def test_files_are_written_replaced_and_removed(aws: str, tmp_path: Path) -> None:
    async def work(store: Any) -> None:
        for text in ("first", "second"):
            (tmp_path / "own").write_text(text)
            await store.put("focus/a b.csv", tmp_path / "own")
        (listed,) = await store.list("focus/", most=10)
        await store.fetch(listed.name, tmp_path / "came", bytes_max=10)
        assert (listed.name, (tmp_path / "came").read_text()) == ("focus/a b.csv", "second")
        for _ in range(2):  # one that does not exist is fine
            await store.remove("focus/a b.csv")
        assert await store.list("focus/", most=10) == []

    asyncio.run(using(work, aws))
    with pytest.raises(StepFailed, match="NoSuchBucket"):
        asyncio.run(using(lambda store: store.put("a", tmp_path / "own"), aws, root="other"))


def test_a_key_that_may_not_write_is_told_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("x")
    error = failing(xml("AccessDenied", 403), lambda store: store.put("a", tmp_path / "own"))
    assert isinstance(error, CredentialRejected)
    assert "s3:PutObject" in str(error)


def test_a_bucket_that_is_not_there(aws: str) -> None:
    with pytest.raises(StepFailed, match="NoSuchBucket"):
        asyncio.run(using(_list, aws, root="other"))


def test_a_role_is_assumed_with_the_org_s_external_id(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The installation's own identity assumes it: an org cannot choose the id by which another's role trusts us."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOURS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ours")
    assert len(asyncio.run(using(_list, aws, json.dumps({"role_arn": ROLE})))) == 5
    assert read_keys(json.dumps({"role_arn": ROLE}), "acme")["external_id"] == "convergence-acme"
    with pytest.raises(StepFailed, match="the external id of this org is 'convergence-acme'"):
        read_keys(json.dumps({"role_arn": ROLE, "external_id": "convergence-other"}), "acme")
    own = {**json.loads(KEYS), "role_arn": ROLE, "external_id": "theirs"}
    assert read_keys(json.dumps(own), "acme")["external_id"] == "theirs"


FOREIGN = "no resource-based policy allows the s3:GetObject action"  # what AWS answers for another account's bucket


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (xml("AccessDenied", 403), CredentialRejected, "s3:GetObject"),
        (xml("AccessDenied", 403, FOREIGN), CredentialRejected, "or the bucket may belong to another account"),
        (xml("ExpiredToken", 400), CredentialRejected, "may have expired"),
        (xml("InvalidAccessKeyId", 403), CredentialRejected, "refuses the credential"),
        (xml("SignatureDoesNotMatch", 403), CredentialRejected, "refuses the credential"),
        (xml("AccessDenied", 403, "not authorized to perform: kms:Decrypt"), CredentialRejected, "allow kms:Decrypt"),
        (xml("RequestTimeTooSkewed", 403), StepFailed, "correct the clock of this machine"),
        (xml("AuthorizationHeaderMalformed", 400), StepFailed, "is in another region"),
        (xml("SlowDown", 503), Transient, "AWS is busy"),
    ],
)
def test_what_aws_says_is_told(answer: Response, kind: type[Exception], said: str) -> None:
    error = failing(answer)
    assert type(error) is kind
    assert said in str(error)
    assert "s3cret" not in str(error)


def test_a_role_that_does_not_trust_us(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = json.dumps({**json.loads(KEYS), "role_arn": ROLE})
    error = failing(xml("AccessDenied", 403), secret=secret)
    assert type(error) is CredentialRejected
    assert "does not let this installation assume the role" in str(error)


def test_an_installation_without_an_identity(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(StepFailed, match="has no AWS identity"):
        asyncio.run(using(_list, aws, json.dumps({"role_arn": ROLE})))


def test_a_file_that_is_cut_is_an_error(tmp_path: Path) -> None:
    def fetch(store: Any) -> Any:
        return store.fetch("1.csv", tmp_path / "came", bytes_max=100)

    headers = {"etag": '"1"', "last-modified": "Mon, 12 Jan 2026 10:00:00 GMT"}
    assert isinstance(failing(Response(200, b"x" * 90, headers, cut=True), fetch), Transient)


@pytest.mark.parametrize(
    ("place", "secret", "said"),
    [
        ({"root": "Bills/../x"}, KEYS, "is not the name of a bucket"),
        ({"options": {"region": "evil.example/x"}}, KEYS, "is not a region of AWS"),
        ({"options": {"endpoint": "http://169.254.169.254"}}, KEYS, "'endpoint' is not a known option"),
        ({"options": {"bucket_owner": "me"}}, KEYS, "the 12-digit id of an account"),
        ({}, "AKIA:secret", "is not a JSON object of strings"),
        ({}, '{"access_key_id": "a"}', "must have access_key_id and secret_access_key"),
        ({}, '{"role_arn": "arn:aws:iam::1:user/x"}', "not the ARN of an IAM role"),
    ],
)
def test_what_is_not_of_its_form_is_refused(place: dict[str, Any], secret: str, said: str) -> None:
    with pytest.raises(StepFailed, match=said.replace("(", r"\(")):
        open_s3(Place(kind="s3", **{"root": "bills", **place}), secret, org="acme", endpoint="")
