"""SaaS subscriptions on the command line."""

from __future__ import annotations

from pathlib import Path

from tests.unit.entry.conftest import Cli

HEADER = "subscription_id,vendor,plan,seats,unit_price,currency,starts_on"
CSV = f"{HEADER}\na,A,P,7,9.99,USD,2026-11-01\nb,B,P,1,5,EUR,2026-11-01\n"


def test_subscriptions_are_imported_changed_listed_and_removed(acme: Cli, tmp_path: Path) -> None:
    file = tmp_path / "plans.csv"
    file.write_text("\ufeff" + CSV, "utf-8")
    assert acme("subscription", "import", "acme", str(file)).code == 0
    term = dict(zip(HEADER.split(","), ["a", "A", "P", "9", "9.99", "USD", "2026-12-01"], strict=True))
    words = [word for name, value in term.items() for word in ("-p", f"{name}={value}")]
    changed = acme("subscription", "set", "acme", *words, "--json").data
    assert [(plan["subscription_id"], plan["seats"]) for plan in changed["plans"]] == [("a", 7), ("a", 9), ("b", 1)]
    assert "2026-12-01" in acme("subscription", "list", "acme").out
    removed = acme("subscription", "remove", "acme", "a", "--starts-on", "2026-12-01", "--json").data
    assert removed["terms"] == 2
    file.write_text(f"{HEADER}\na,A,P,7,9.99,USD,2026-11-01\n", "utf-8")
    assert acme("subscription", "import", "acme", str(file), "--replace", "--json").data["terms"] == 1


def test_what_does_not_fit_is_refused(acme: Cli, tmp_path: Path) -> None:
    wrong = acme("subscription", "remove", "acme", "design")
    assert (wrong.code, "no term of 'design'" in wrong.out + wrong.err) == (1, True)
    file = tmp_path / "plans.csv"
    file.write_bytes(b"\xff\xfe")
    assert acme("subscription", "import", "acme", str(file)).code == 2
    assert acme("subscription", "list", "unknown").code == 2
