"""Secrets on demand, inside one step."""

from __future__ import annotations

from convergence.domain.run import Run
from convergence.engine.services import Services
from convergence.engine.step.redact import Redactor
from convergence.errors import StepFailed, did_you_mean
from convergence.tenants.credentials import Credential, advice


class StepSecrets:
    """Opens the run's credentials and its sealed parameters; remembers what was opened, so that it is masked."""

    def __init__(self, services: Services, run: Run) -> None:
        self._services = services
        self._run = run
        self.redact = Redactor()

    async def open(self, name: str) -> str:
        """Return the plaintext of a provider's credential or of a parameter of type secret."""
        run = self._run
        if name in run.sealed:
            plaintext = (await self._services.keyring.decrypt(run.sealed[name], parameter_aad(run.org, name))).decode()
        else:
            credential = await chosen(self._services, run, name)
            if credential is None:
                similar = did_you_mean(name, run.sealed) if run.sealed else ""
                raise StepFailed(advice(run.org, name) + similar)
            plaintext = await self._services.credentials.open(credential)
        self.redact.add(plaintext)
        return plaintext

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
        credential = await chosen(self._services, self._run, provider)
        return "missing" if credential is None else credential.status

    async def mark(self, provider: str, *, valid: bool, reason: str = "") -> None:
        """Record the outcome of a validation."""
        credential = await chosen(self._services, self._run, provider)
        if credential is not None:
            await self._services.credentials.mark(credential, valid=valid, reason=self._secrets.redact(reason))


async def chosen(services: Services, run: Run, provider: str) -> Credential | None:
    """Return the provider's credential in this run: the run's own where it is the provider's, else the default."""
    find = services.credentials.find
    if provider == run.provider or not run.credential_id:
        return await find(run.org, provider, run.credential_id)
    own = await find(run.org, provider, run.credential_id)
    return own if own is not None and own.provider == provider else await find(run.org, provider)


def parameter_aad(org: str, name: str) -> str:
    """Return what binds a sealed parameter to its org."""
    return f"org/{org}/parameter/{name}"
