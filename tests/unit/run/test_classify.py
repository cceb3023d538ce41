"""`kab test`'s loop: like the fast side or like the slow one, told by a few boots, or not told."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from factories import failed
from ladders import VERSIONS, World, kernel, loop, request

from harness.bisect.classify import References, classify, log_odds
from harness.errors import ConfigError, HostError
from harness.model.run import Run
from harness.model.trial import Outcome
from harness.model.verdict import Decision, Verdict
from harness.run.classify import (
    ClassifyLoop,
    KnownSides,
    check_conditions,
    sides_of_ab,
    sides_of_search,
)
from harness.run.evidence import stored_evidence
from harness.store import SqlStore
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit

REFERENCES = References(fast=(1.10, 1.15, 1.12, 1.13), slow=(0.02, -0.03, 0.0, 0.01))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore(tmp_path / "results.sqlite") as opened:
        yield opened


@pytest.fixture
def like(store: SqlStore) -> KnownSides:
    """A finished search's two sides."""
    run, _ = loop(store, World()).execute(request())
    evidence = stored_evidence(store, store.bisections, store.run(run.id), store.bisections.plan(run.id))
    return sides_of_search(run, evidence, METRICS)


def told(store: SqlStore, like: KnownSides, rung: int, make_trial=None) -> tuple[Run, Decision]:
    version = VERSIONS[rung]
    runner = loop(store, make_trial or World()).ab.runner
    return ClassifyLoop(runner=runner, error=0.01, max_boots=6).execute(
        like, kernel(f"debian:{version}"), spec=f"debian:{version}", conditions={}, host={}, command=("kab", "test")
    )


@pytest.mark.parametrize(("rung", "verdict"), [(0, "same"), (5, "slower"), (14, "slower"), (17, "same")])
def test_both_sides_are_told_by_a_few_boots(store: SqlStore, like: KnownSides, rung: int, verdict: str) -> None:
    run, decision = told(store, like, rung)
    assert decision.verdict == verdict
    assert len(run.trials) <= 3
    assert store.decision(run.id) == decision
    assert len(store.run(run.id).trials) == len(run.trials)
    assert "queue_depth" in decision.reason


def test_between_both_is_not_told(store: SqlStore, like: KnownSides) -> None:
    world = World()

    def between(asked, spec, booted):
        return replace(world(asked, spec, booted), samples={"queue_depth": (1.74,)})

    run, decision = told(store, like, 5, between)
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert len(run.trials) == 6


def test_a_kernel_that_does_not_boot_is_not_told(store: SqlStore, like: KnownSides) -> None:
    _, decision = told(store, like, 5, World(dead={5: Outcome.BOOT_FAILED}))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert "boot-failed in 2 of 2 boots" in decision.reason


def test_lost_boots_are_the_hosts(store: SqlStore, like: KnownSides) -> None:
    with pytest.raises(HostError, match="3 boots in a row were lost"):
        told(store, like, 5, lambda _asked, spec, _booted: failed(spec, Outcome.LOST, "QEMU was killed"))


def test_a_run_without_a_difference_is_no_reference(store: SqlStore) -> None:
    search, _ = loop(store, World(edges=(20,), newest=1.0)).execute(request())
    run = store.run(store.bisections.subruns(search.id)[0].run_id)
    with pytest.raises(ConfigError, match="did not find its arms to differ"):
        sides_of_ab(run, None, METRICS)
    evidence = stored_evidence(store, store.bisections, store.run(search.id), store.bisections.plan(search.id))
    with pytest.raises(ConfigError, match="has not booted both fast and slow"):
        sides_of_search(search, evidence, METRICS)


def test_the_arms_of_a_proof_are_references(store: SqlStore) -> None:
    search, _ = loop(store, World()).execute(request())
    part = store.bisections.subruns(search.id)[1].run_id
    found = sides_of_ab(store.run(part), store.decision(part), METRICS)
    assert min(found.fast) > 2 > max(found.slow)


def test_other_conditions_are_refused(like: KnownSides) -> None:
    check_conditions(like, {"accelerator": "tcg", "kab": "9"})
    with pytest.raises(ConfigError, match="accelerator was tcg, is kvm"):
        check_conditions(like, {"accelerator": "kvm"})


def test_another_job_is_refused(like: KnownSides) -> None:
    edited = replace(like, run=replace(like.run, conditions={"job": "1"}))
    check_conditions(edited, {"job": "1"})
    with pytest.raises(ConfigError, match="job was 1, is 2"):
        check_conditions(edited, {"job": "2"})
    for known, conditions in ((like, {"job": "1"}), (edited, {})):
        with pytest.raises(ConfigError, match="is another one"):
            check_conditions(known, conditions)


def test_odds_are_even_before_the_first_boot_and_grow() -> None:
    assert log_odds(REFERENCES, []) == pytest.approx(0)
    odds = [log_odds(REFERENCES, [0.0] * count) for count in range(4)]
    assert odds == sorted(odds)
    assert classify(REFERENCES, [0.0], 0.01) is None
    assert classify(REFERENCES, [0.0, 0.01], 0.01) is True
    assert classify(REFERENCES, [1.12, 1.14], 0.01) is False
    assert classify(REFERENCES, [0.56, 0.56], 0.01) is None
