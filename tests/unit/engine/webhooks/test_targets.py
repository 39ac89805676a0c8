"""Which addresses a webhook may have."""

from __future__ import annotations

import pytest

from convergence.engine.webhooks.target import URL_MAX, check_target
from convergence.errors import InvalidInput

PUBLIC = (
    "https://hooks.example.com/x?y=1",
    "https://8.8.8.8/x",
    "https://[2606:4700::1111]:8443/",
    "https://EXAMPLE.com.",
)
HERE = ("http://127.0.0.1:9/x", "http://localhost:8000", "http://[::1]:8000/", "https://localhost/x")
NEVER = (
    "http://hooks.example.com/x",  # in the clear
    "ftp://hooks.example.com/x",
    "https:///x",
    "https://user:pw@hooks.example.com/",
    "https://hooks.example.com/#part",
    "https://10.0.0.1/",
    "https://192.168.1.1/",
    "https://172.16.0.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://0.0.0.0/",
    "https://2130706433/",  # 127.0.0.1 in one number
    "https://0x7f.1/",
    "https://127.1/",
    "https://127.0.0.2/",
    "https://metadata.google.internal/",
    "https://metadata.google.internal./",
    "https://db.local/",
    "https://x.localhost/",
    "https://intranet/",
    "https://db.lan/",
    "https://db.corp/",
    "https://nas.home.arpa/",
    "https://host.localdomain/",
    "https://home.arpa/",
    f"https://{'a' * 64}.example.com/",
    f"https://{'a.' * 127}com/",  # 257 characters
    "https://a..com/",
    "https://.example.com/",
    "https://-a.example.com/",
    "https://example.com../",
    "https://hooks.example.com:99999/",
    "https://hooks.example.com/\n",
    "",
    "https://hooks.example.com/" + "x" * URL_MAX,
)


@pytest.mark.parametrize("url", PUBLIC)
@pytest.mark.parametrize("production", [True, False])
def test_a_public_host_is_a_target(url: str, production: bool) -> None:
    check_target(url, production=production)


@pytest.mark.parametrize("url", HERE)
def test_this_machine_is_a_target_in_development_only(url: str) -> None:
    check_target(url, production=False)
    with pytest.raises(InvalidInput, match="webhook"):
        check_target(url, production=True)


@pytest.mark.parametrize("url", NEVER)
@pytest.mark.parametrize("production", [True, False])
def test_anything_else_is_refused_without_repeating_its_user(url: str, production: bool) -> None:
    with pytest.raises(InvalidInput, match="webhook") as refused:
        check_target(url, production=production)
    assert "user:pw" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("a..com", "no host can have the name 'a..com'"),
        ("intranet", "the host 'intranet' is a name inside a network"),
        ("10.0.0.1", "the host '10.0.0.1' has a private address"),
    ],
)
def test_a_refusal_says_why_and_offers_nothing_that_a_webhook_has_not(host: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_target(f"https://{host}/", production=True)
    assert str(refused.value) == f"a webhook is sent to a public host only: {why}"
