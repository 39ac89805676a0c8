"""Keys of orgs."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest

from convergence.errors import InvalidInput, NotFound
from convergence.tenants.api_keys import ApiKeyStore, same_text
from tests.unit.tenants.conftest import Tenants

HOUR = timedelta(hours=1)


def test_a_key_has_256_random_bits_and_opens_its_org_with_its_scopes(tenants: Tenants) -> None:
    async def scenario() -> None:
        text, made = await tenants.keys.create("acme", name="ci", scopes=["run"])
        assert len(base64.urlsafe_b64decode(text.removeprefix("cvk_") + "=")) == 32
        found = await tenants.keys.verify(text)
        assert found == made
        assert (found.org, found.may("run"), found.may("read"), found.may("admin")) == ("acme", True, False, False)

    tenants.run_scenario(scenario)


def test_admin_may_everything(tenants: Tenants) -> None:
    _, key = tenants.keys.make("acme", name="", scopes=["admin"])
    assert all(key.may(scope) for scope in ("run", "read", "admin"))


def test_the_text_of_a_key_is_stored_nowhere_in_production(tenants: Tenants) -> None:
    keys = ApiKeyStore(tenants.documents, tenants.clock)

    async def scenario() -> None:
        text, key = await keys.create("acme", name="ci")
        stored = await tenants.documents.get(key.path)
        assert stored is not None
        assert text not in json.dumps(stored.data)
        assert text not in repr(key)
        with pytest.raises(NotFound):
            await keys.development_key("acme")

    tenants.run_scenario(scenario)


def test_outside_production_the_latest_key_can_be_asked_for(tenants: Tenants) -> None:
    async def scenario() -> None:
        await tenants.keys.create("acme", name="first")
        second, _ = await tenants.keys.create("acme", name="second")
        assert await tenants.keys.development_key("acme") == second

    tenants.run_scenario(scenario)


@pytest.mark.parametrize("text", ["", "cvk_", "cvk_x", "ü", "runs/r1", "\x00"])
def test_what_is_not_a_key_opens_nothing(tenants: Tenants, text: str) -> None:
    assert tenants.run_scenario(lambda: tenants.keys.verify(text)) is None


def test_a_key_ends_at_its_expiry(tenants: Tenants) -> None:
    async def scenario() -> None:
        text, _ = await tenants.keys.create("acme", name="", expires_in=HOUR)
        tenants.clock.at += HOUR - timedelta(seconds=1)
        assert await tenants.keys.verify(text) is not None
        tenants.clock.at += timedelta(seconds=1)
        assert await tenants.keys.verify(text) is None

    tenants.run_scenario(scenario)


def test_a_rotated_key_stays_good_for_the_overlap_only(tenants: Tenants) -> None:
    async def scenario() -> None:
        old, key = await tenants.keys.create("acme", name="ci", scopes=["read"])
        new, made = await tenants.keys.rotate("acme", key.key_id, overlap=HOUR)
        assert (made.scopes, made.name) == (("read",), "ci")
        assert await tenants.keys.verify(old) is not None
        tenants.clock.at += HOUR
        assert await tenants.keys.verify(old) is None
        assert await tenants.keys.verify(new) is not None
        with pytest.raises(InvalidInput, match="revoked or expired"):
            await tenants.keys.rotate("acme", key.key_id, overlap=HOUR)

    tenants.run_scenario(scenario)


def test_a_revoked_key_opens_nothing_from_then_on(tenants: Tenants) -> None:
    async def scenario() -> None:
        text, key = await tenants.keys.create("acme", name="ci")
        await tenants.keys.revoke("acme", key.key_id)
        await tenants.keys.revoke("acme", key.key_id)
        assert await tenants.keys.verify(text) is None
        assert [each.revoked_at for each in await tenants.keys.all("acme")] == [tenants.clock.at]

    tenants.run_scenario(scenario)


def test_another_org_cannot_revoke_or_rotate_a_key(tenants: Tenants) -> None:
    async def scenario() -> None:
        _, key = await tenants.keys.create("acme", name="ci")
        with pytest.raises(NotFound, match="globex has no key"):
            await tenants.keys.revoke("globex", key.key_id)
        with pytest.raises(NotFound):
            await tenants.keys.rotate("globex", key.key_id, overlap=HOUR)

    tenants.run_scenario(scenario)


def test_scopes_and_expiry_are_checked(tenants: Tenants) -> None:
    with pytest.raises(InvalidInput, match="Did you mean 'read'"):
        tenants.keys.make("acme", name="", scopes=["reed"])
    with pytest.raises(InvalidInput, match="needs a scope"):
        tenants.keys.make("acme", name="", scopes=[])
    with pytest.raises(InvalidInput, match="in the future"):
        tenants.keys.make("acme", name="", expires_in=timedelta(0))


def test_texts_are_compared_whole() -> None:
    assert same_text("ü" * 3, "ü" * 3)
    assert not same_text("", "x")
