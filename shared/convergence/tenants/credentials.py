"""Credentials of an org, encrypted under its name: a ciphertext copied to another tenant does not decrypt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from convergence.domain.times import to_text
from convergence.errors import Conflict, InvalidInput, NotFound, did_you_mean
from convergence.ports.clock import Clock
from convergence.ports.documents import Create, Delete, Documents, Patch, Replace, Where, Write
from convergence.ports.keyring import Keyring
from convergence.tenants.schedule_requests import schedule_request

_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Credential:
    """A stored credential, without its plaintext."""

    org: str
    credential_id: str
    provider: str
    name: str
    status: str  # stored, valid, invalid
    ciphertext: str = field(repr=False)
    checked_at: str = ""  # when it was last validated

    @property
    def path(self) -> str:
        """Where the document is."""
        return f"orgs/{self.org}/credentials/{self.credential_id}"


class CredentialStore:
    """Credentials as documents."""

    def __init__(self, documents: Documents, keyring: Keyring, clock: Clock) -> None:
        self._documents = documents
        self._keyring = keyring
        self._clock = clock

    async def store(self, org: str, provider: str, plaintext: str, *, name: str) -> str:
        """Encrypt and store; the same provider and name again rotates. A provider's first credential is its default."""
        if not plaintext.strip():
            raise InvalidInput(f"the {provider} credential is empty")
        credential_id = credential_id_of(org, provider, name)
        path = f"orgs/{org}/credentials/{credential_id}"
        now = to_text(self._clock.now())
        for _ in range(_ATTEMPTS):
            known = await self._documents.get(path)
            ciphertext = await self._keyring.encrypt(plaintext.encode(), _aad(org, credential_id))
            data = {
                "provider": provider,
                "name": name,
                "status": "stored",
                "ciphertext": ciphertext,
                "created_at": now if known is None else known.data["created_at"],
                "rotated_at": None if known is None else now,
                "why": "",
            }
            write = Create(path, data) if known is None else Replace(path, known.version, data)
            try:
                request = schedule_request(org, _unique("stored", ciphertext))
                await self._documents.commit([write, *await self._default(org, provider, credential_id), request])
            except Conflict:
                continue
            return credential_id
        raise Conflict(f"the {provider} credential of {org} is being changed by others; try again")

    async def find(self, org: str, provider: str, credential_id: str = "") -> Credential | None:
        """Return the requested credential of a provider, or its default, or its only one; None without any."""
        if not credential_id:
            document = await self._documents.get(f"orgs/{org}")
            credential_id = "" if document is None else document.data["default_credentials"].get(provider, "")
        if credential_id:
            found = await self._documents.get(f"orgs/{org}/credentials/{credential_id}")
            return None if found is None else _credential(org, credential_id, found.data)
        page = await self._documents.query(
            f"orgs/{org}/credentials", where=[Where("provider", "==", provider)], limit=2
        )
        if len(page.documents) != 1:
            return None
        only = page.documents[0]
        return _credential(org, only.path.rpartition("/")[2], only.data)

    async def all(self, org: str, provider: str | None = None) -> list[Credential]:
        """Return the credentials of an org, by id; those of one provider when it is named."""
        where = [] if provider is None else [Where("provider", "==", provider)]
        found: list[Credential] = []
        cursor: str | None = None
        while True:
            page = await self._documents.query(f"orgs/{org}/credentials", where=where, limit=500, cursor=cursor)
            found += [_credential(org, item.path.rpartition("/")[2], item.data) for item in page.documents]
            if page.cursor is None:
                return found
            cursor = page.cursor

    async def any_of(self, orgs: Sequence[str]) -> bool:
        """Return whether any of these orgs has a stored credential."""
        for org in orgs:
            if (await self._documents.query(f"orgs/{org}/credentials", limit=1)).documents:
                return True
        return False

    async def delete(self, org: str, provider: str, credential_id: str) -> None:
        """Remove a credential; without the default one there is no default until the next set-up. Raises `NotFound`."""
        known = {each.credential_id: each for each in await self.all(org, provider)}
        if credential_id not in known:
            raise NotFound(
                f"{org} has no {provider} credential {credential_id[:100]!r}.{did_you_mean(credential_id, known)}"
            )
        request = schedule_request(org, _unique("deleted", known[credential_id].ciphertext))
        writes: list[Write] = [Delete(known[credential_id].path), request]
        document = await self._documents.get(f"orgs/{org}")
        if document is not None and document.data["default_credentials"].get(provider) == credential_id:
            writes.append(Patch(f"orgs/{org}", unset=[("default_credentials", provider)]))
        await self._documents.commit(writes)

    async def open(self, credential: Credential) -> str:
        """Return the plaintext. Raises `Denied` when it was sealed for another org."""
        aad = _aad(credential.org, credential.credential_id)
        return (await self._keyring.decrypt(credential.ciphertext, aad)).decode()

    async def mark(self, credential: Credential, *, valid: bool, reason: str) -> None:
        """Record the outcome of a validation."""
        status = "valid" if valid else "invalid"
        checked = to_text(self._clock.now())
        patch = Patch(credential.path, {("status",): status, ("why",): reason, ("checked_at",): checked})
        request = schedule_request(credential.org, _unique(f"{status} {checked}", credential.ciphertext))
        await self._documents.commit([patch, request] if status != credential.status else [patch])

    async def reseal(self, org: str) -> int:
        """Reseal what is encrypted under an older version of the key, so that it can be retired; return how many.

        Safe to repeat and to run concurrently: a credential that changes meanwhile is read again.
        """
        return sum([await self._reseal(each) for each in await self.all(org)])

    async def _reseal(self, credential: Credential) -> bool:
        aad = _aad(credential.org, credential.credential_id)
        for _ in range(_ATTEMPTS):
            known = await self._documents.get(credential.path)
            if known is None or not await self._keyring.stale(known.data["ciphertext"]):
                return False
            plaintext = await self._keyring.decrypt(known.data["ciphertext"], aad)
            data = {**known.data, "ciphertext": await self._keyring.encrypt(plaintext, aad)}
            try:
                await self._documents.commit([Replace(credential.path, known.version, data)])
            except Conflict:
                continue
            return True
        raise Conflict(
            f"credential {credential.credential_id} of {credential.org} is being changed by others; try again"
        )

    async def _default(self, org: str, provider: str, credential_id: str) -> list[Patch]:
        document = await self._documents.get(f"orgs/{org}")
        if document is None or provider in document.data["default_credentials"]:
            return []
        return [Patch(f"orgs/{org}", {("default_credentials", provider): credential_id})]


def advice(org: str, provider: str) -> str:
    """Return the instruction for storing a missing credential."""
    return f"{org} has no credential for {provider!r}; store one with: convergence run {org} {provider}/auth/setup."


def credential_id_of(org: str, provider: str, name: str) -> str:
    """Return the id for a name, always the same one: a repeated set-up rotates the credential instead of adding one."""
    digest = hashlib.blake2b(f"{org}/{provider}/{name}".encode(), digest_size=8).hexdigest()
    return f"cred_{digest}"


def _credential(org: str, credential_id: str, data: Mapping[str, Any]) -> Credential:
    checked_at = data.get("checked_at") or ""
    return Credential(
        org, credential_id, data["provider"], data["name"], data["status"], data["ciphertext"], checked_at
    )


def _unique(change: str, ciphertext: str) -> str:
    """Return a name that is unique to this change of a credential, because no two ciphertexts are equal."""
    return hashlib.blake2b(f"{change}\n{ciphertext}".encode(), digest_size=10).hexdigest()


def _aad(org: str, credential_id: str) -> str:
    return f"org/{org}/credential/{credential_id}"
