"""The client of `generic.api_extractor`: its address, credential, rate limit and permitted destinations."""

from __future__ import annotations

import httpx

from convergence.config.files.providers import load_providers, provider_of
from convergence.domain.addresses import Reach
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.processors.generic.api.settings import ApiSettings
from convergence.processors.http.auth import renewal, signed
from convergence.processors.http.client import RestClient
from convergence.processors.http.retry_budget import RetryBudget


async def connect(options: ApiSettings, context: Context) -> RestClient:
    """Return a client with the credential, the limits and the reach that the settings name."""
    reach: Reach = "private" if options.allow_private_addresses else "public"
    service = service_name(options)
    url = httpx.URL(options.address)
    if options.allowed_hosts and url.host not in options.allowed_hosts:
        raise StepFailed(f"{service}: the host {url.host!r} is not among config.allowed_hosts")
    headers, params = await signed(options.auth, context, reach)
    limit = options.rate_limit
    name = options.auth.provider or options.auth.secret_key if options.auth is not None else ""
    return RestClient(
        context,
        str(url.copy_with(raw_path=b"/")).rstrip("/"),
        headers={**{key.lower(): value for key, value in options.headers.items()}, **headers},
        params=params,
        service=service,
        renew=f"Store a new credential of {name!r}, then replay." if name else "Set config.auth, how to sign in.",
        retry_budget=RetryBudget(attempts_max=limit.max_retries + 1, retry_on_429=limit.retry_on_429),
        bytes_max=options.answer_mib_max * 2**20,
        requests_per_second=limit.requests_per_second or _providers_rate(context),
        credential=f"{name}/{context.credential_id}",
        reach=reach,
        hosts=options.allowed_hosts,
        data_path=options.data_path,
        sign_in=renewal(options.auth, context, reach),
    )


def _providers_rate(context: Context) -> float | None:
    """Return the requests per second that the registry allows for the pipeline's provider; None: no limit."""
    registered = provider_of(load_providers(context.configs_dir), context.provider)
    per_minute = registered.rate_limit_per_minute if registered else None
    return per_minute / 60 if per_minute else None


def service_name(options: ApiSettings) -> str:
    """Return the name of the API in messages: the provider, otherwise the host."""
    if options.auth is not None and options.auth.provider:
        return options.auth.provider
    return httpx.URL(options.address).host or "the API"
