"""API keys of orgs. Only the SHA-256 of a key is stored: 256 random bits need no slow hash and no salt."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Self

from convergence.domain.records import from_stored
from convergence.domain.times import to_text
from convergence.errors import Conflict, InvalidInput, NotFound, did_you_mean
from convergence.ports.clock import Clock
from convergence.ports.documents import Create, Documents, Order, Patch, Replace, Where
from convergence.ports.keyring import Keyring

SCOPES: Final = ("run", "read", "admin")
_PREFIX: Final = "cvk_"  # lets scanners for leaked secrets recognise one
_LENGTH_MAX: Final = 200  # characters; ours have 47
_VALID_MAX: Final = 10_000
_PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is stored of a key; its text is shown once, when it is created."""

    key_id: str
    org: str
    name: str
    digest: str = field(repr=False)
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def path(self) -> str:
        """Where the document is."""
        return f"api_keys/{self.digest}"

    def live(self, now: datetime) -> bool:
        """True while the key is valid."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def may(self, scope: str) -> bool:
        """True when the key has the scope; `admin` has all."""
        return scope in self.scopes or "admin" in self.scopes

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        return {
            "key_id": self.key_id,
            "org": self.org,
            "name": self.name,
            "digest": self.digest,
            "scopes": list(self.scopes),
            "created_at": to_text(self.created_at),
            "expires_at": None if self.expires_at is None else to_text(self.expires_at),
            "revoked_at": None if self.revoked_at is None else to_text(self.revoked_at),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        return from_stored(cls, data)


class ApiKeyStore:
    """Keys as documents at `api_keys/{sha256}`.

    With `keyring` the latest key of an org is also kept encrypted, for `development_key`: never in production.
    """

    def __init__(
        self,
        documents: Documents,
        clock: Clock,
        *,
        keyring: Keyring | None = None,
        random_text: Callable[[int], str] = secrets.token_urlsafe,
    ) -> None:
        self._documents = documents
        self._clock = clock
        self._keyring = keyring
        self._random_text = random_text
        self._valid: OrderedDict[str, None] = OrderedDict()  # digests of keys that were valid recently

    def make(
        self, org: str, *, name: str, scopes: Iterable[str] = SCOPES, expires_in: timedelta | None = None
    ) -> tuple[str, ApiKey]:
        """Return a new key's text and the record of it; nothing is stored.

        Raises:
            InvalidInput: a scope that does not exist, no scope at all, or an expiry in the past.
        """
        expected = tuple(dict.fromkeys(scopes))
        for scope in expected:
            if scope not in SCOPES:
                raise InvalidInput(f"there is no scope {scope!r}.{did_you_mean(scope, SCOPES)}")
        if not expected:
            raise InvalidInput(f"a key needs a scope: {', '.join(SCOPES)}")
        if expires_in is not None and expires_in <= timedelta(0):
            raise InvalidInput("the expiry of a key must be in the future")
        text = _PREFIX + self._random_text(32)
        digest, now = _digest(text), self._clock.now()
        expires_at = None if expires_in is None else now + expires_in
        key = ApiKey(
            key_id=f"key_{digest[:16]}",
            org=org,
            name=name,
            digest=digest,
            scopes=expected,
            created_at=now,
            expires_at=expires_at,
        )
        return text, key

    async def keep(self, text: str, key: ApiKey, *extra: Create) -> None:
        """Store what `make` returned, and whatever belongs in the same commit. Raises `Conflict`."""
        await self._documents.commit([*extra, Create(key.path, key.to_data())])
        if self._keyring is not None:
            await self._keep_copy(self._keyring, key.org, text)

    async def create(
        self, org: str, *, name: str, scopes: Iterable[str] = SCOPES, expires_in: timedelta | None = None
    ) -> tuple[str, ApiKey]:
        """Create and store a key; return its text, which cannot be shown again."""
        text, key = self.make(org, name=name, scopes=scopes, expires_in=expires_in)
        await self.keep(text, key)
        return text, key

    async def verify(self, text: str) -> ApiKey | None:
        """Return the valid key with this text, or None. The time taken does not depend on how much of it is right."""
        if not text.startswith(_PREFIX) or len(text) > _LENGTH_MAX:
            return None
        digest = _digest(text)
        self._valid.pop(digest, None)
        key = await self.find(digest)
        if key is None:
            return None
        self._valid[digest] = None
        if len(self._valid) > _VALID_MAX:
            self._valid.popitem(last=False)
        return key

    async def find(self, digest: str) -> ApiKey | None:
        """Return the valid key whose text has this SHA-256 (64 hexadecimal digits), or None."""
        document = await self._documents.get(f"api_keys/{digest}")
        if document is None or not hmac.compare_digest(document.data["digest"], digest):
            return None
        key = ApiKey.from_data(document.data)
        return key if key.live(self._clock.now()) else None

    def recently_valid(self, text: str) -> bool:
        """Return whether `verify` last found this key valid. It grants nothing; it only separates keys from guesses."""
        return _digest(text) in self._valid

    async def all(self, org: str) -> list[ApiKey]:
        """Return the keys of an org, oldest first; revoked and expired ones too."""
        found: list[ApiKey] = []
        cursor: str | None = None
        while True:
            page = await self._documents.query(
                "api_keys", where=[Where("org", "==", org)], order=[Order("created_at")], limit=_PAGE, cursor=cursor
            )
            found += [ApiKey.from_data(document.data) for document in page.documents]
            if page.cursor is None:
                return found
            cursor = page.cursor

    async def rotate(self, org: str, key_id: str, *, overlap: timedelta) -> tuple[str, ApiKey]:
        """Return a new key like the old one, which stays valid for `overlap`. Raises `NotFound`, `InvalidInput`."""
        old = await self._get(org, key_id)
        now = self._clock.now()
        if not old.live(now):
            raise InvalidInput(f"key {key_id} is revoked or expired; create a new one")
        until = now + overlap if old.expires_at is None else min(old.expires_at, now + overlap)
        text, key = self.make(org, name=old.name, scopes=old.scopes)
        await self._documents.commit(
            [Create(key.path, key.to_data()), Patch(old.path, {("expires_at",): to_text(until)})]
        )
        if self._keyring is not None:
            await self._keep_copy(self._keyring, org, text)
        return text, key

    async def revoke(self, org: str, key_id: str) -> None:
        """End a key at once; ending it twice is harmless. Raises `NotFound`."""
        key = await self._get(org, key_id)
        if key.revoked_at is None:
            await self._documents.commit([Patch(key.path, {("revoked_at",): to_text(self._clock.now())})])

    async def development_key(self, org: str) -> str:
        """Return the text of the org's latest key. Raises `NotFound` where none is kept."""
        document = None if self._keyring is None else await self._documents.get(_copy_path(org))
        if self._keyring is None or document is None:
            raise NotFound(f"this installation keeps no key of {org}")
        return (await self._keyring.decrypt(document.data["ciphertext"], _aad(org))).decode()

    async def _get(self, org: str, key_id: str) -> ApiKey:
        keys = {key.key_id: key for key in await self.all(org)}
        if key_id not in keys:
            raise NotFound(f"{org} has no key {key_id[:100]!r}.{did_you_mean(key_id, keys)}")
        return keys[key_id]

    async def _keep_copy(self, keyring: Keyring, org: str, text: str) -> None:
        path = _copy_path(org)
        data = {"ciphertext": await keyring.encrypt(text.encode(), _aad(org))}
        known = await self._documents.get(path)
        try:
            await self._documents.commit([Create(path, data) if known is None else Replace(path, known.version, data)])
        except Conflict:
            return  # another new key was stored first: it is kept as well


def same_text(given: str, expected: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _copy_path(org: str) -> str:
    return f"orgs/{org}/development/api_key"


def _aad(org: str) -> str:
    return f"org/{org}/development/api_key"
