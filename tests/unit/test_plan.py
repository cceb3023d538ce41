"""The plan: identity of a run, order of boots, and the next boot as a fold over stored trials."""

import itertools
from dataclasses import replace

import pytest
from factories import another_try
from hypothesis import given
from hypothesis import strategies as st

from harness.model.experiment import Arm, Experiment, TrialSpec
from harness.model.run import SEARCH_ROLES, Parent, SubrunRole
from harness.model.trial import Finding, FindingKind, Outcome, Trial
from harness.model.verdict import Stop, StopKind
from harness.model.workload import Workload
from harness.plan import MAX_LOSSES, block_order, cell_order, experiment_digest, next_trial, trial_specs
from harness.report.decisions import stop_reason

pytestmark = pytest.mark.unit

WORKLOAD = Workload(name="w", title="t", stands_for="s", template="w.fio.j2")
EXPERIMENT = Experiment(baseline="debian:6.12", candidate="debian:7.2", workload=WORKLOAD)
SEEDS = st.integers(min_value=0, max_value=2**63)


def made(spec: TrialSpec, outcome: Outcome = Outcome.OK, message: str = "", digest: str | None = None) -> Trial:
    findings = (Finding(kind=FindingKind.OOPS, message=message, excerpt=""),) if outcome is Outcome.CRASHED else ()
    return Trial(spec=spec, kernel_digest=digest or spec.place.arm, outcome=outcome, message=message, findings=findings)


def run_through(outcome_of, *, seed=1, max_boots=8, confirm=False):
    """Follow the plan until it stops; `outcome_of(spec, n)` gives (outcome, message) of the n-th boot."""
    trials: list[Trial] = []
    while True:
        step = next_trial(trials, seed=seed, max_boots=max_boots, confirm=confirm)
        if isinstance(step, Stop):
            return trials, step
        assert len(trials) < 100
        trials.append(made(step, *outcome_of(step, len(trials))))


def digest(experiment: Experiment = EXPERIMENT, baseline="a", candidate="b", **conditions: str) -> str:
    return experiment_digest(experiment, baseline_digest=baseline, candidate_digest=candidate, conditions=conditions)


def test_digest_is_the_identity_of_a_run() -> None:
    same = digest(qemu="10.0.2", accelerator="tcg")
    assert same == digest(accelerator="tcg", qemu="10.0.2")
    assert len(same) == 64
    others = {
        digest(),
        digest(accelerator="kvm", qemu="10.0.2"),
        digest(candidate="c", qemu="10.0.2", accelerator="tcg"),
        digest(replace(EXPERIMENT, margin=0.1), qemu="10.0.2", accelerator="tcg"),
        digest(replace(EXPERIMENT, seed=4), qemu="10.0.2", accelerator="tcg"),
        digest(replace(EXPERIMENT, workload=replace(WORKLOAD, parameters={"threads": 4}))),
    }
    assert len(others) == 6
    assert same not in others


def test_swapped_kernels_are_another_run() -> None:
    assert digest(baseline="a", candidate="b") != digest(baseline="b", candidate="a")


@given(SEEDS, st.integers(0, 1000))
def test_order_is_balanced_within_pairs_of_blocks(seed: int, pair: int) -> None:
    first, second = block_order(seed, 2 * pair), block_order(seed, 2 * pair + 1)
    assert first == second[::-1]
    assert set(first) == set(Arm)


def test_order_is_random_over_pairs() -> None:
    firsts = [block_order(7, 2 * pair)[0] is Arm.BASELINE for pair in range(400)]
    assert 150 < sum(firsts) < 250
    runs = 1 + sum(a != b for a, b in itertools.pairwise(firsts))
    assert 150 < runs < 250


@given(SEEDS, st.integers(0, 1000))
def test_both_arms_of_a_block_share_the_workload_seed(seed: int, block: int) -> None:
    first, second = trial_specs(seed, block)
    assert (first.place.order, second.place.order) == (0, 1)
    assert first.seed == second.seed
    assert 0 <= first.seed < 2**31
    assert first.seed != trial_specs(seed, block + 1)[0].seed


def test_healthy_run_fills_all_blocks_in_order() -> None:
    trials, stop = run_through(lambda spec, n: (Outcome.OK, ""))
    assert stop.kind is StopKind.CAP
    assert [(t.place.block, t.place.order) for t in trials] == [(b, o) for b in range(4) for o in (0, 1)]


@given(SEEDS, st.data())
def test_a_resumed_run_makes_the_boots_of_an_unbroken_one(seed: int, data: st.DataObject) -> None:
    outcomes = data.draw(st.lists(st.sampled_from([Outcome.OK, Outcome.OK, Outcome.LOST]), min_size=40, max_size=40))
    trials, _ = run_through(lambda spec, n: (outcomes[n % 40], "host"), seed=seed)
    for cut in range(len(trials)):
        assert next_trial(trials[:cut], seed=seed, max_boots=8, confirm=False) == trials[cut].spec


def test_a_lost_trial_is_made_again_with_the_next_attempt() -> None:
    trials, stop = run_through(lambda spec, n: (Outcome.LOST if n == 1 else Outcome.OK, "killed"))
    assert stop.kind is StopKind.CAP
    assert trials[2].spec == another_try(trials[1]).spec
    assert len(trials) == 9


def test_losses_in_a_row_stop_the_run_but_not_the_resumed_one() -> None:
    trials, stop = run_through(lambda spec, n: (Outcome.LOST if n >= 2 else Outcome.OK, "disk full"))
    assert stop.kind is StopKind.LOSSES
    assert "disk full" in stop_reason(stop)
    assert len(trials) == 2 + MAX_LOSSES
    again = next_trial(trials, seed=1, max_boots=8, confirm=False, resumed=len(trials))
    assert isinstance(again, TrialSpec)
    assert again.place.attempt == MAX_LOSSES


def test_a_crash_counts_at_once_without_emulation_and_the_other_arm_is_still_tried() -> None:
    def outcome(spec: TrialSpec, n: int) -> tuple[Outcome, str]:
        return (Outcome.CRASHED, "Oops in f") if spec.place.arm is Arm.CANDIDATE else (Outcome.OK, "")

    trials, stop = run_through(outcome)
    assert stop.kind is StopKind.FAULT
    assert len(trials) == 2


def test_under_emulation_a_crash_must_happen_twice_in_the_same_way() -> None:
    def always(spec: TrialSpec, n: int) -> tuple[Outcome, str]:
        return (Outcome.CRASHED, "BUG in g") if spec.place.arm is Arm.CANDIDATE else (Outcome.OK, "")

    trials, stop = run_through(always, confirm=True)
    assert stop.kind is StopKind.FAULT
    assert [t.outcome for t in trials if t.place.arm is Arm.CANDIDATE] == [Outcome.CRASHED] * 2

    crashes = iter([True])
    trials, stop = run_through(
        lambda spec, n: (Outcome.CRASHED, "once") if next(crashes, False) else (Outcome.OK, ""), confirm=True
    )
    assert stop.kind is StopKind.CAP
    assert len(trials) == 9


def test_the_same_crash_in_two_blocks_counts_although_each_passed_on_the_second_try() -> None:
    crashes = {0, 2}
    candidate_boots = iter(range(100))

    def outcome(spec: TrialSpec, n: int) -> tuple[Outcome, str]:
        if spec.place.arm is Arm.CANDIDATE and next(candidate_boots) in crashes:
            return Outcome.CRASHED, "null pointer in h"
        return Outcome.OK, ""

    _, stop = run_through(outcome, confirm=True)
    assert stop.kind is StopKind.FAULT


def test_crashes_each_in_another_place_stop_as_unstable() -> None:
    names = iter(["alpha", "beta", "gamma", "delta", "epsilon"])

    def outcome(spec: TrialSpec, n: int) -> tuple[Outcome, str]:
        return (Outcome.CRASHED, next(names)) if spec.place.arm is Arm.BASELINE else (Outcome.OK, "")

    _, stop = run_through(outcome, confirm=True)
    assert stop.kind is StopKind.UNSTABLE


@pytest.mark.parametrize("outcome", [Outcome.HUNG, Outcome.WORKLOAD_FAILED])
def test_what_a_slow_host_may_cause_is_tried_twice_even_without_emulation(outcome: Outcome) -> None:
    trials, stop = run_through(lambda spec, n: (outcome if spec.place.arm is Arm.CANDIDATE else Outcome.OK, "slow"))
    assert stop.kind is StopKind.FAULT
    assert sum(t.outcome is outcome for t in trials) == 2


@pytest.mark.parametrize("outcome", [Outcome.CORRUPTED, Outcome.BUILD_FAILED])
def test_corruption_and_build_failures_count_at_once_even_under_emulation(outcome: Outcome) -> None:
    trials, stop = run_through(
        lambda spec, n: (outcome if spec.place.arm is Arm.CANDIDATE else Outcome.OK, "wrong"), confirm=True
    )
    assert stop.kind is StopKind.FAULT
    assert sum(t.outcome is outcome for t in trials) == 1


def test_too_small_a_cap_plans_nothing() -> None:
    step = next_trial([], seed=1, max_boots=1, confirm=False)
    assert isinstance(step, Stop)
    assert step.kind is StopKind.CAP


def test_which_cell_is_asked_first_is_drawn_for_each_block_and_told_by_the_seed() -> None:
    cells = ("a", "b", "c")
    orders = [cell_order(7, block, cells) for block in range(300)]
    assert orders == [cell_order(7, block, tuple(reversed(cells))) for block in range(300)]
    assert orders != [cell_order(8, block, cells) for block in range(300)]
    for name in cells:
        assert 70 <= sum(order[0] == name for order in orders) <= 130


def test_a_place_inside_a_matrix_is_a_part_of_the_identity_and_one_inside_a_search_is_not() -> None:
    def digest(role: SubrunRole, place: str) -> str:
        parent = Parent(run_id="r", role=role, place=place)
        return experiment_digest(
            EXPERIMENT, baseline_digest="b", candidate_digest="c", conditions={"accelerator": "kvm"}, parent=parent
        )

    assert digest(SubrunRole.CELL, "a") != digest(SubrunRole.CELL, "b")
    assert digest(SubrunRole.CONFIRMATION, "a") != digest(SubrunRole.CONFIRMATION, "b")
    for role in SEARCH_ROLES:
        assert digest(role, "1-2") == digest(role, "3-4")
