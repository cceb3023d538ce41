"""Decisions: which metric, what verdict, when to stop, and kernels that fail."""

import random
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from factories import another_try
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.model.experiment import Arm, Experiment
from harness.model.trial import Finding, FindingKind, Outcome, Trial
from harness.model.verdict import Stop, StopKind, Verdict
from harness.model.workload import Direction, Metric, Workload
from harness.plan import trial_specs
from harness.report.decisions import choice_words, decision_reason
from harness.stats.blocks import boot_value, complete_blocks, pairs_of
from harness.stats.decide import decide

pytestmark = pytest.mark.unit

METRICS = {
    name: Metric(name=name, unit="", direction=direction, title="", witness=name == "queue_depth")
    for name, direction in (
        ("write_iops", Direction.HIGHER),
        ("clat_p99", Direction.LOWER),
        ("queue_depth", Direction.HIGHER),
        ("cpu_per_io", Direction.LOWER),
    )
}
WORKLOAD = Workload(
    name="w", title="t", stands_for="s", template="w.fio.j2", deciding=("write_iops", "clat_p99", "queue_depth")
)
AUTO = Experiment(baseline="a", candidate="b", workload=WORKLOAD)
NAMED = replace(AUTO, metric="write_iops")


def trials_of(blocks: int, boots: Mapping[str, tuple[float, float, float]], seed: int = 1) -> list[Trial]:
    """`boots`: metric -> (centre of baseline, centre of candidate, spread of log values); three iterations each."""
    rng = np.random.default_rng(seed)
    trials = []
    for block in range(blocks):
        for spec in trial_specs(seed, block):
            samples = {}
            for name, (baseline, candidate, spread) in boots.items():
                centre = (candidate if spec.place.arm is Arm.CANDIDATE else baseline) * np.exp(rng.normal(0, spread))
                samples[name] = tuple(float(centre * factor) for factor in (0.99, 1.0, 1.02))
            trials.append(Trial(spec=spec, kernel_digest=spec.place.arm, outcome=Outcome.OK, samples=samples))
    return trials


def failed(trial: Trial, outcome: Outcome, message: str = "Oops in f") -> Trial:
    finding = Finding(kind=FindingKind.OOPS, message=message, excerpt="")
    return replace(trial, outcome=outcome, message=message, findings=(finding,), samples={})


def by_arm(trials: list[Trial], arm: Arm) -> Trial:
    return next(trial for trial in trials if trial.place.arm is arm)


LOCK = {"write_iops": (126.0, 634.0, 0.2), "clat_p99": (9000.0, 3000.0, 0.3), "queue_depth": (0.85, 2.97, 0.02)}


def test_a_boot_is_the_median_of_its_iterations_in_any_order() -> None:
    trial = trials_of(1, {"write_iops": (100.0, 100.0, 0.0)})[0]
    assert boot_value(trial, "write_iops") == pytest.approx(100.0)
    shuffled = replace(trial, samples={"write_iops": trial.samples["write_iops"][::-1]})
    assert boot_value(shuffled, "write_iops") == boot_value(trial, "write_iops")
    assert boot_value(trial, "queue_depth") is None
    assert boot_value(replace(trial, samples={"write_iops": (float("nan"),)}), "write_iops") is None


def test_only_blocks_with_both_arms_count_and_the_last_attempt_does() -> None:
    trials = trials_of(3, {"write_iops": (100.0, 200.0, 0.0)})
    open_block = trials[:-1]
    assert sorted(complete_blocks(open_block)) == [0, 1]
    again = replace(another_try(trials[0]), samples={"write_iops": (7.0,)})
    pair = pairs_of([again, *trials], "write_iops")[0]
    assert 7.0 in (pair.baseline, pair.candidate)


def test_auto_takes_the_metric_that_separates_best_and_says_that_it_paid() -> None:
    early = {**LOCK, "write_iops": (126.0, 634.0, 0.9), "clat_p99": (9000.0, 3000.0, 0.9)}
    decision = decide(AUTO, METRICS, trials_of(5, early))
    assert decision.verdict is Verdict.FASTER
    # The witness is sure where no speed is yet.
    assert decision.metric == "queue_depth"
    assert decision.final
    assert "best of 3" in choice_words(decision)
    assert decision.comparisons["queue_depth"].error == pytest.approx(0.01 / 3)


def test_a_speed_that_is_sure_goes_before_a_witness() -> None:
    decision = decide(AUTO, METRICS, trials_of(8, LOCK))
    assert (decision.verdict, decision.metric) == (Verdict.FASTER, "write_iops")
    assert choice_words(decision).startswith("the speed that separates the arms best")


def test_a_named_metric_gets_the_whole_error_and_the_others_support() -> None:
    decision = decide(NAMED, METRICS, trials_of(12, LOCK))
    assert decision.metric == "write_iops"
    assert choice_words(decision) == "named by the user"
    assert decision.comparisons["write_iops"].error == 0.01
    assert set(decision.comparisons) == set(LOCK)


@given(st.randoms(use_true_random=False))
def test_order_of_trials_changes_nothing(rng: random.Random) -> None:
    trials = trials_of(4, LOCK)
    assert decide(AUTO, METRICS, rng.sample(trials, len(trials))) == decide(AUTO, METRICS, trials)


def test_swapped_kernels_give_the_mirrored_verdict() -> None:
    swapped = {name: (candidate, baseline, spread) for name, (baseline, candidate, spread) in LOCK.items()}
    assert decide(AUTO, METRICS, trials_of(6, swapped)).verdict is Verdict.SLOWER


def test_same_needs_a_speed_that_says_so_and_names_those_that_cannot() -> None:
    equal = {"write_iops": (300.0, 300.0, 0.03), "clat_p99": (9e3, 9e3, 0.4), "queue_depth": (1.0, 1.0, 0.003)}
    decision = next(
        found for found in (decide(AUTO, METRICS, trials_of(n, equal)) for n in range(4, 21)) if found.final
    )
    assert (decision.verdict, decision.metric) == (Verdict.SAME, "write_iops")
    assert "rests on write_iops and queue_depth" in decision_reason(decision)
    assert "clat_p99 cannot confirm" in decision_reason(decision)


def test_a_witness_alone_does_not_make_kernels_the_same() -> None:
    noisy = {"write_iops": (300.0, 300.0, 0.3), "clat_p99": (9e3, 9e3, 0.4), "queue_depth": (1.0, 1.0, 0.003)}
    experiment = replace(AUTO, max_boots=16)
    early, late = (decide(experiment, METRICS, trials_of(blocks, noisy)) for blocks in (6, 8))
    assert not early.final
    assert "queue_depth agrees; write_iops, clat_p99 cannot be told yet" in decision_reason(early)
    assert (late.final, late.verdict) == (True, Verdict.INCONCLUSIVE)
    assert late.metric in {"write_iops", "clat_p99"}
    assert "would have been met; queue_depth agrees" in decision_reason(late)
    # With the speeds known to lie within three margins, a witness may say it; how far they may be off is said too.
    quieter = {**noisy, "write_iops": (300.0, 300.0, 0.03), "clat_p99": (9e3, 9e3, 0.04)}
    found = next(
        decision
        for decision in (decide(AUTO, METRICS, trials_of(blocks, quieter, seed=3)) for blocks in range(4, 21))
        if decision.final
    )
    assert (found.verdict, found.metric) == (Verdict.SAME, "queue_depth")
    assert "write_iops, clat_p99 cannot confirm it; write_iops and clat_p99 can differ by 1" in decision_reason(found)
    # Named by the user, a witness may decide: then that is the question.
    named = replace(AUTO, metric="queue_depth")
    assert decide(named, METRICS, trials_of(8, noisy)).verdict is Verdict.SAME


def test_same_never_comes_while_a_speed_leans() -> None:
    leaning = {"write_iops": (300.0, 240.0, 0.13), "clat_p99": (9e3, 9e3, 0.4), "queue_depth": (1.0, 1.0, 0.003)}
    experiment = replace(AUTO, max_boots=14)
    early = decide(experiment, METRICS, trials_of(6, leaning, seed=6))
    assert not early.final
    assert "leans" in decision_reason(early)
    late = decide(experiment, METRICS, trials_of(7, leaning, seed=6))
    assert (late.final, late.verdict) == (True, Verdict.INCONCLUSIVE)


def test_metrics_that_contradict_are_said() -> None:
    torn = {"write_iops": (100.0, 300.0, 0.02), "clat_p99": (3e3, 9e3, 0.03), "queue_depth": (1.0, 1.0, 0.5)}
    decision = decide(AUTO, METRICS, trials_of(6, torn))
    assert decision.final
    assert "but clat_p99 says slower" in decision_reason(decision) or "but write_iops says faster" in decision_reason(
        decision
    )


def test_progress_before_and_after_a_choice() -> None:
    noisy = {"write_iops": (300.0, 310.0, 0.3), "clat_p99": (9e3, 9e3, 0.3), "queue_depth": (1.0, 1.05, 0.05)}
    nothing = decide(AUTO, METRICS, [])
    assert (nothing.final, nothing.metric, nothing.blocks_left) == (False, None, None)
    early = decide(AUTO, METRICS, trials_of(3, noisy))
    assert not early.final
    assert 1 <= early.blocks_left <= 17
    sure = decide(AUTO, METRICS, trials_of(3, LOCK))
    assert (sure.final, sure.metric) == (False, "queue_depth")
    assert sure.blocks_left <= 3


def test_the_cap_ends_it_with_the_margin_that_would_have_been_met() -> None:
    noisy = {"write_iops": (300.0, 310.0, 0.3)}
    decision = decide(NAMED, METRICS, trials_of(20, noisy))
    assert (decision.verdict, decision.final, decision.blocks_left) == (Verdict.INCONCLUSIVE, True, 0)
    assert "a margin of" in decision_reason(decision)


def test_a_stopped_run_is_final_and_says_why() -> None:
    decision = decide(
        NAMED, METRICS, trials_of(2, LOCK), stopped=Stop(kind=StopKind.LOSSES, count=3, message="disk full")
    )
    assert (decision.verdict, decision.final) == (Verdict.INCONCLUSIVE, True)
    assert "disk full" in decision_reason(decision)


@pytest.mark.parametrize("outcome", [Outcome.WORKLOAD_FAILED, Outcome.USERSPACE_DIED])
def test_a_reason_accuses_no_kernel_of_what_is_not_its_fault(outcome: Outcome) -> None:
    trials = trials_of(1, LOCK)
    bad = failed(by_arm(trials, Arm.CANDIDATE), outcome)
    decision = decide(AUTO, METRICS, [by_arm(trials, Arm.BASELINE), bad, bad])
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision_reason(decision).endswith("the baseline ran: speed cannot be compared with failed boots")


@pytest.mark.parametrize("outcome", [Outcome.CRASHED, Outcome.BOOT_FAILED, Outcome.CORRUPTED])
@pytest.mark.parametrize("arm", list(Arm))
def test_a_kernel_that_fails_is_never_faster_slower_or_same(outcome: Outcome, arm: Arm) -> None:
    trials = trials_of(6, LOCK)
    assert decide(AUTO, METRICS, trials).verdict is Verdict.FASTER
    bad = failed(by_arm(trials[-2:], arm), outcome)
    decision = decide(AUTO, METRICS, [*(t for t in trials if t.spec != bad.spec), bad])
    assert (decision.verdict, decision.final) == (Verdict.INCONCLUSIVE, True)
    assert f"the {arm}" in decision_reason(decision)
    assert "1 of 6 boots" in decision_reason(decision)


def test_corruption_forbids_a_verdict_even_before_the_other_arm_has_run() -> None:
    trials = trials_of(1, LOCK)
    decision = decide(AUTO, METRICS, [failed(by_arm(trials, Arm.CANDIDATE), Outcome.CORRUPTED, "crc differs")])
    assert (decision.verdict, decision.final) == (Verdict.INCONCLUSIVE, False)


def test_one_unconfirmed_crash_under_emulation_does_not_count() -> None:
    trials = trials_of(6, LOCK)
    crash = failed(by_arm(trials, Arm.CANDIDATE), Outcome.CRASHED)
    retried = [another_try(t) if t.spec == crash.spec else t for t in trials]
    assert decide(AUTO, METRICS, [crash, *retried], confirm=True).verdict is Verdict.FASTER
    assert decide(AUTO, METRICS, [crash, *retried], confirm=False).verdict is Verdict.INCONCLUSIVE


def test_the_same_failing_kernel_in_both_arms_ends_the_run() -> None:
    first, second = (replace(trial, kernel_digest="k") for trial in trials_of(1, LOCK))
    decision = decide(AUTO, METRICS, [failed(first, Outcome.CRASHED), failed(second, Outcome.CRASHED)], confirm=True)
    assert decision.final
    assert "baseline" in decision_reason(decision)
    assert "candidate" in decision_reason(decision)


def test_unknown_and_missing_metrics() -> None:
    with pytest.raises(ConfigError, match="unknown metric 'iosp'"):
        decide(replace(AUTO, metric="iosp"), METRICS, [])
    decision = decide(replace(AUTO, metric="cpu_per_io"), METRICS, trials_of(1, LOCK))
    assert decision.final
    assert "no boot gave" in decision_reason(decision)
