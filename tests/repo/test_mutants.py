"""The sample of mutants: all of domain/, and the same of engine/ for the same seed."""

from __future__ import annotations

from tests.mutants.__main__ import report, sample

DOMAIN = [f"convergence.domain.claim.x_decide__mutmut_{i}" for i in range(5)]
ENGINE = [f"convergence.engine.replay.x_replay__mutmut_{i}" for i in range(50)]


def test_a_sample_holds_all_of_domain_and_is_drawn_by_its_seed() -> None:
    first = sample([*ENGINE, *DOMAIN], 1, 10)
    assert first[:5] == DOMAIN
    assert len(set(first[5:]) & set(ENGINE)) == 10
    assert first == sample(sorted([*ENGINE, *DOMAIN]), 1, 10) != sample([*ENGINE, *DOMAIN], 2, 10)
    assert len(sample([*ENGINE, *DOMAIN], 1, 400)) == 55


def test_a_report_counts_how_mutants_ended() -> None:
    ended = {DOMAIN[0]: "killed", DOMAIN[1]: "survived", ENGINE[0]: "timeout"}
    assert report(ended, 7).splitlines() == [
        "domain: 2 mutants, 1 killed, 0 refused by mypy, 1 survived, 0 timeout, 0 no tests, 0 suspicious",
        "engine: 1 mutants, 0 killed, 0 refused by mypy, 0 survived, 1 timeout, 0 no tests, 0 suspicious",
        "again: make mutants SEED=7",
    ]
