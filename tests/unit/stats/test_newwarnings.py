"""Warnings that a candidate has and its baseline has not: when chance is excluded."""

from dataclasses import replace

import numpy as np
import pytest
from gateruns import boots, failing, logging, warning

from harness.model.experiment import Arm
from harness.model.trial import FindingKind, Outcome
from harness.stats.newwarnings import boots_that_prove, new_warnings

pytestmark = pytest.mark.unit

SPLAT = "WARNING: CPU: {} PID: 71 at fs/btrfs/inode.c:3127 btrfs_finish_one_ordered+0x1a/0x90"
STALL = "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"


@pytest.mark.parametrize(
    ("error", "every", "some"), [(0.05, 3, 6), (0.05 / 50, 6, 11), (0.5, 2, 2), (0.05 / 1000, 8, 16)]
)
def test_boots_that_prove(error: float, every: int, some: int) -> None:
    assert boots_that_prove(error) == (every, some)
    assert 4.0**-every + 2.0**-some <= error


def test_it_counts_when_every_boot_has_it_or_many_do() -> None:
    trials = boots(12, {"iops": 1.0})
    always = logging(trials, warning(SPLAT), arm=Arm.CANDIDATE, blocks=range(12))
    assert [new_warnings(always[: 2 * n], error=0.05)[0].counts for n in range(1, 5)] == [False, False, True, True]
    assert [new_warnings(always[: 2 * n], error=0.05)[0].pending for n in range(1, 5)] == [True, True, False, False]
    often = logging(trials, warning(SPLAT), arm=Arm.CANDIDATE, blocks=range(1, 12, 2))
    assert [new_warnings(often[: 2 * n], error=0.05)[0].counts for n in (11, 12)] == [False, True]
    assert not new_warnings(often, error=0.05)[0].pending


def test_lines_that_differ_in_numbers_only_are_one_warning() -> None:
    trials = boots(3, {"iops": 1.0})
    for block in range(3):
        trials = logging(trials, warning(SPLAT.format(block)), arm=Arm.CANDIDATE, blocks=[block])
    (found,) = new_warnings(trials, error=0.05)
    assert (found.boots, found.blocks, found.counts) == (3, 3, True)
    assert found.message == SPLAT.format(0)


def test_what_strikes_anywhere_is_one_warning_whatever_its_wording() -> None:
    trials = boots(3, {"iops": 1.0})
    trials = logging(trials, warning(STALL, FindingKind.RCU_STALL), arm=Arm.CANDIDATE, blocks=range(3))
    other = warning("rcu: INFO: rcu_sched self-detected stall on CPU", FindingKind.RCU_STALL)
    assert [found.signature for found in new_warnings(trials, error=0.05)] == ["rcu-stall"]
    assert new_warnings(logging(trials, other, arm=Arm.BASELINE, blocks=[2]), error=0.05) == ()


def test_the_baseline_has_it_even_where_its_boot_failed() -> None:
    trials = boots(4, {"iops": 1.0})
    trials = logging(trials, warning(SPLAT), arm=Arm.CANDIDATE, blocks=range(3))
    trials = logging(trials, warning(SPLAT), arm=Arm.BASELINE, blocks=[3])
    trials = tuple(
        replace(failing(trial, Outcome.HUNG), findings=trial.findings)
        if trial.place.arm is Arm.BASELINE and trial.findings
        else trial
        for trial in trials
    )
    assert [trial.outcome for trial in trials].count(Outcome.HUNG) == 1
    assert new_warnings(trials, error=0.05) == ()


def test_a_crash_is_no_warning() -> None:
    trials = logging(boots(3, {"iops": 1.0}), warning("Oops", FindingKind.OOPS), arm=Arm.CANDIDATE, blocks=range(3))
    assert new_warnings(trials, error=0.05) == ()


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_a_warning_that_falls_on_both_arms_by_chance_is_seldom_new(rate: float) -> None:
    """200 runs of 12 blocks, asked after each, at an error of 20 %; at a rate of half both ways are at their worst."""
    rng, counted = np.random.default_rng(7), 0
    trials = boots(12, {"iops": 1.0})
    for _ in range(200):
        struck = rng.random((12, 2)) < rate
        run = trials
        for arm in Arm:
            column = struck[:, list(Arm).index(arm)]
            run = logging(run, warning(SPLAT), arm=arm, blocks=[int(block) for block in np.flatnonzero(column)])
        counted += any(found.counts for blocks in range(2, 13) for found in new_warnings(run[: 2 * blocks], error=0.2))
    assert counted <= 40
