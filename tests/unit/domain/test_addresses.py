"""Which addresses and names a call may go to."""

from __future__ import annotations

import pytest

from convergence.domain.addresses import (
    Reach,
    check_addresses,
    check_reachable,
    literal_address,
    may_connect,
    real_address,
)
from convergence.errors import StepFailed

PUBLIC = "93.184.215.14"
LONGEST = ".".join(["a" * 63] * 3 + ["b" * 61])  # 253 characters (RFC 1035, section 2.3.4, without the root)
PRIVATE = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "198.18.0.1", "240.0.0.1", "::1"),
    *("192.0.0.1", "192.0.0.8", "192.0.0.170", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.175.48.1"),
    *("198.51.100.1", "203.0.113.1", "2001:1::1", "2001:20::1", "2620:4f:8000::1", "3ffe::1", "3fff::1", "5f00::1"),
    *("::ffff:0:10.0.0.1", "4000::1"),
    *("fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "::7f00:1", "2001:db8::1"),
]
NOWHERE = [
    *("0.0.0.0", "::", "::ffff:0.0.0.0", "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
    *("0.1.2.3", "192.88.99.1", "255.255.255.255", "fec0::1", "fec0::a9fe:a9fe", "100::1", "100:0:0:1::1"),
    *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b:1::a9fe:a9fe", "::169.254.169.254", "::ffff:0:169.254.169.254"),
    *(
        "2002:a9fe:a9fe::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fd00:ec2::254%eth0",
        "168.63.129.16",
        "100.100.100.200",
        "224.0.0.1",
    ),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_in_any_spelling_needs_the_configs_word(address: str) -> None:
    with pytest.raises(StepFailed, match="private address"):
        check_addresses("api.acme.example", [PUBLIC, address], "public")
    check_addresses("api.acme.example", [PUBLIC, address], "private")


@pytest.mark.parametrize("reach", ["public", "loopback", "private"])
@pytest.mark.parametrize("address", NOWHERE)
def test_metadata_and_link_local_addresses_are_never_called(address: str, reach: Reach) -> None:
    with pytest.raises(StepFailed, match=r"has the address .*, which is never an API's"):
        check_addresses("localhost", [address], reach)
    assert not may_connect(address, reach)


@pytest.mark.parametrize("address", [PUBLIC, "2606:4700::1111", "64:ff9b::5db8:d70e", "::ffff:93.184.215.14"])
def test_a_public_address_is_free(address: str) -> None:
    check_addresses("api.acme.example", [address], "public")


@pytest.mark.parametrize("address", PRIVATE)
def test_no_socket_is_made_for_a_private_address_whatever_resolved_it(address: str) -> None:
    assert not may_connect(address, "public")
    assert may_connect(address, "private")
    assert may_connect(address, "loopback") == real_address(address).is_loopback


def test_this_machine_is_reached_under_its_plain_names_and_all_addresses_count() -> None:
    check_addresses("localhost", ["127.0.0.1", "::1"], "loopback")
    for host, addresses in (("localhost", ["127.0.0.1", "10.0.0.1"]), ("api.acme.example", ["127.0.0.1"])):
        with pytest.raises(StepFailed, match=f"'{host}' has a private address.*allow_private_addresses: true"):
            check_addresses(host, addresses, "loopback")
    with pytest.raises(StepFailed, match="private address"):
        check_addresses("localhost", ["127.0.0.1"], "public")


@pytest.mark.parametrize("spelling", ["0177.0.0.1", "0300.0250.1", "0xa.0.0.1", "10.1", "::ffff:7f00:1"])
def test_a_private_address_in_any_base_is_not_public(spelling: str) -> None:
    with pytest.raises(StepFailed, match="private address"):
        check_reachable(spelling, "public")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1.", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::FFFF:7f00:1", "::ffff:7f00:1"),
        ("api.acme.example", None),
    ],
)
def test_an_address_is_told_from_a_name(host: str, address: str | None) -> None:
    assert literal_address(host) == address


@pytest.mark.parametrize(
    ("host", "reach"),
    [
        ("api.acme.example", "public"),
        ("API.acme.example.", "public"),
        (LONGEST, "public"),
        ("localhost", "loopback"),
        ("intranet", "private"),
        ("api.internal", "private"),
        (PUBLIC, "public"),
    ],
)
def test_a_name_that_may_be_called_is_left_to_the_resolver(host: str, reach: Reach) -> None:
    check_reachable(host, reach)


@pytest.mark.parametrize(
    ("host", "reach", "message"),
    [
        (f"{LONGEST}b", "private", "no host can have the name 'a{63}"),
        ("a..example", "public", "no host can have the name 'a..example'"),
        ("-a.example", "public", "no host can have the name '-a.example'"),
        ("localhost", "public", "'localhost' is a name inside a network.*allow_private_addresses: true"),
        ("intranet", "loopback", "'intranet' is a name inside a network"),
        ("db.Internal.", "loopback", "'db.Internal.' is a name inside a network"),
        ("fe80::x", "private", "'fe80::x' is not an address"),
        ("0x5d.0270.0327.016", "private", "unusual spelling: write it as 93.184.215.14"),
    ],
)
def test_a_name_that_can_be_seen_to_be_out_of_reach_is_refused(host: str, reach: Reach, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        check_reachable(host, reach)
