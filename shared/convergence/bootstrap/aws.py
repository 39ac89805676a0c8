"""Customers' accounts at AWS, for one execution of an org's step."""

from __future__ import annotations

from convergence.config.files.providers import ProviderRegistry, endpoint_of
from convergence.ports.aws_accounts import AwsAccounts


def aws_accounts(org: str, *, registry: ProviderRegistry, here: bool) -> AwsAccounts:
    """Return the accounts of `org`. `here`: a step may use a stand-in on this machine."""
    from convergence.adapters.aws.accounts import BotoAccounts

    return BotoAccounts(org=org, endpoint=endpoint_of(registry.get(), "aws"), here=here)
