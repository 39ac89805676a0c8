"""Secrets on demand, inside one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.domain.plan import PlanStep
from convergence.domain.run import Run
from convergence.engine.services import Services
from convergence.engine.step.redact import Redactor
from convergence.errors import StepFailed, did_you_mean
from convergence.tenants.credentials import Credential, advice


class StepSecrets:
    """Opens the run's credentials and its sealed parameters; remembers what was opened, so that it is masked."""

    def __init__(self, services: Services, run: Run, results: Mapping[str, Mapping[str, Any]]) -> None:
        self._services = services
        self._run = run
        self._decrypted = {
            str(result["provider"]): str(result["credential_id"])
            for result in results.values()
            if result.get("opens") is True and result.get("provider") and result.get("credential_id")
        }
        self.redact = Redactor()

    async def open(self, name: str) -> str:
        """Return the plaintext of a provider's credential or of a parameter of type secret."""
        run = self._run
        if name in run.sealed:
            plaintext = (await self._services.keyring.decrypt(run.sealed[name], parameter_aad(run.org, name))).decode()
        else:
            credential = await self.chosen(name)
            if credential is None:
                similar = did_you_mean(name, run.sealed) if run.sealed else ""
                raise StepFailed(advice(run.org, name) + similar)
            plaintext = await self._services.credentials.open(credential)
        self.redact.add(plaintext)
        return plaintext

    async def chosen(self, provider: str) -> Credential | None:
        """Return the provider's credential in this step.

        It is the one that an earlier step found to open (`integrations.kms_decrypt`, whose result refers to it), else
        the run's own, else the org's default or only one.
        """
        find, run = self._services.credentials.find, self._run
        for expected in (self._decrypted.get(provider, ""), run.credential_id):
            own = await find(run.org, provider, expected) if expected else None
            if own is not None and own.provider == provider:
                return own
        return None if run.credential_id and provider == run.provider else await find(run.org, provider)

    def mask(self, text: str) -> None:
        """Mask this text as well in all output of the step."""
        self.redact.add(text)

    def __getitem__(self, name: str) -> str:
        """Refuse: plaintext is not data."""
        raise StepFailed(f'secrets are opened on demand; write: await context["secrets"].open({name!r})')


class StepCredentials:
    """The org's stored credentials, as its processors may change them."""

    def __init__(self, services: Services, run: Run, secrets: StepSecrets) -> None:
        self._services = services
        self._run = run
        self._secrets = secrets

    async def store(self, provider: str, plaintext: str, *, name: str = "default") -> str:
        """Encrypt and keep; return the credential id."""
        self._secrets.redact.add(plaintext)
        return await self._services.credentials.store(self._run.org, provider, plaintext, name=name)

    async def status(self, provider: str) -> str:
        """Return `stored`, `valid` or `invalid`; `missing` without a credential."""
        credential = await self._secrets.chosen(provider)
        return "missing" if credential is None else credential.status

    async def credential_id(self, provider: str) -> str:
        """Return the id of the provider's credential in this step; empty without one."""
        credential = await self._secrets.chosen(provider)
        return "" if credential is None else credential.credential_id

    async def mark(self, provider: str, *, valid: bool, reason: str = "") -> None:
        """Record the outcome of a validation."""
        credential = await self._secrets.chosen(provider)
        if credential is not None:
            await self._services.credentials.mark(credential, valid=valid, reason=self._secrets.redact(reason))


def source_of(services: Services, run: Run, planned: PlanStep) -> str:
    """Return the provider whose data a step of another one's pipeline handles: its `config.provider`, or the provider
    that its processor is of. Empty without one, and for a seed, which does not belong to an account."""
    config = planned.config.get("config")
    named = config.get("provider") if isinstance(config, Mapping) else None
    family, _, part = planned.ps_type.partition(".")
    provider = named if isinstance(named, str) and named else family
    if part == "seed_csv" or provider in {"generic", run.provider}:
        return ""
    return provider if provider in services.providers().providers else ""


def parameter_aad(org: str, name: str) -> str:
    """Return what binds a sealed parameter to its org."""
    return f"org/{org}/parameter/{name}"
