"""Tokens of push deliveries: a key of our own signs, the checker knows its certificate only."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from convergence.adapters.gcp.identity import Certificates, PushIdentity, fetch_from
from convergence.errors import Denied, Transient
from tests.emulators.identity import public_pem, signed

AUDIENCE, ACCOUNT = "https://step.example", "push@p.iam.gserviceaccount.com"
KEY, OTHER = (rsa.generate_private_key(public_exponent=65_537, key_size=2048) for _ in range(2))


def token(*, key: rsa.RSAPrivateKey = KEY, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A good token but for what the test changes."""
    return signed(key, header or {}, {"aud": AUDIENCE, "email": ACCOUNT} | claims)


class Google:
    """The certificates, how often they were fetched, and a clock."""

    def __init__(self) -> None:
        self.fetched = 0
        self.certificates = {"k1": public_pem(KEY)}
        self.time = datetime(2026, 3, 1, tzinfo=UTC)
        self.fetch = self.known
        self.identity = PushIdentity(audience=AUDIENCE, service_account=ACCOUNT, fetch=self.fetched_now, clock=self)

    async def fetched_now(self) -> Certificates:
        return await self.fetch()

    async def known(self) -> Certificates:
        self.fetched += 1
        return Certificates(dict(self.certificates), 3600)

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits")

    def check(self, given: str) -> None:
        asyncio.run(self.identity.check(given))


def test_pubsubs_token_opens_and_its_certificates_are_kept() -> None:
    google = Google()
    google.check(token())
    google.check(token(iss="accounts.google.com"))
    assert google.fetched == 1
    google.time += timedelta(seconds=3601)
    google.check(token())
    assert google.fetched == 2


EARLIER = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("", "not a valid"),
        ("a.b.c", "not a valid"),
        (base64.urlsafe_b64encode(b"[" * 20_000).decode() + ".e30.AA", "not a valid"),
        (token()[:-4] + "AAAA", "not a valid"),
        (token(key=OTHER), "not a valid"),
        (token(header={"alg": "none"}), "not a valid"),
        (token(header={"alg": "HS256"}), "not a valid"),
        (token(header={"kid": 3}), "not a valid"),
        (token(header={"kid": "unknown"}), "not a valid"),
        (token(iat=EARLIER, exp=EARLIER + 3600), "not a valid"),
        (token(exp="soon"), "not a valid"),
        (token(iss="https://evil.example"), "iss"),
        (token(aud="https://other.example"), "aud"),
        (token(aud=[AUDIENCE]), "aud"),
        (token(email="other@p.iam.gserviceaccount.com"), "email"),
        (token(email_verified=False), "email_verified"),
        (token(email_verified="true"), "email_verified"),
    ],
)
def test_any_other_token_is_denied_and_not_repeated(given: str, reason: str) -> None:
    with pytest.raises(Denied, match=reason) as denied:
        Google().check(given)
    assert not given or given not in str(denied.value)
    assert denied.value.__cause__ is None


def test_a_new_key_of_google_is_fetched_but_not_for_every_invented_one() -> None:
    google = Google()
    google.check(token())
    google.certificates["k2"] = public_pem(OTHER)
    with pytest.raises(Denied):
        google.check(token(key=OTHER, header={"kid": "k2"}))
    assert google.fetched == 1  # within a minute nothing makes us ask again
    google.time += timedelta(seconds=61)
    google.check(token(key=OTHER, header={"kid": "k2"}))
    assert google.fetched == 2


def test_a_known_key_never_waits_for_an_invented_one() -> None:
    google, invented = Google(), token(header={"kid": "invented"})

    async def scenario() -> None:
        await google.identity.check(token())
        google.time += timedelta(seconds=61)
        asked, never = asyncio.Event(), asyncio.Event()

        async def hang() -> Certificates:
            asked.set()
            await never.wait()
            raise AssertionError("it hangs")

        google.fetch = hang
        stranger = asyncio.create_task(google.identity.check(invented))
        await asked.wait()
        await asyncio.wait_for(google.identity.check(token()), 5)
        stranger.cancel()

    asyncio.run(scenario())


def test_those_who_wait_for_certificates_share_one_fetch_and_its_failure() -> None:
    google = Google()
    answers: list[Certificates | Transient] = [Transient("away"), Certificates(google.certificates, 3600)]

    async def fetch() -> Certificates:
        google.fetched += 1
        await asyncio.sleep(0)
        if isinstance(answer := answers[google.fetched - 1], Transient):
            raise answer
        return answer

    google.identity = PushIdentity(audience=AUDIENCE, service_account=ACCOUNT, fetch=fetch, clock=google)

    async def scenario() -> list[set[type]]:
        found = []
        for _ in answers:
            checks = (google.identity.check(token()) for _ in range(16))
            found.append({type(each) for each in await asyncio.gather(*checks, return_exceptions=True)})
        return found

    assert asyncio.run(scenario()) == [{Transient}, {type(None)}]
    assert google.fetched == 2


@pytest.mark.parametrize(
    ("answer", "kept_s"),
    [
        (
            httpx.Response(200, json={"k": "PEM"}, headers={"cache-control": "public, max-age=19800, no-transform"}),
            19_800,
        ),
        (httpx.Response(200, json={"k": "PEM"}), 300),
        (httpx.Response(500), None),
        (httpx.Response(200, text="<html>"), None),
        (httpx.Response(200, json=["k"]), None),
    ],
)
def test_certificates_are_kept_as_long_as_google_says_and_waited_for(
    answer: httpx.Response, kept_s: float | None
) -> None:
    async def fetch() -> Certificates:
        return await fetch_from(transport=httpx.MockTransport(lambda _: answer))()

    if kept_s is None:
        with pytest.raises(Transient, match="Google's certificates"):
            asyncio.run(fetch())
    else:
        assert asyncio.run(fetch()) == ({"k": "PEM"}, kept_s)
