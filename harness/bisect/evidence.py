"""What stored boots say of each kernel of a ladder: its values, and whether it can be tested at all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.model.bisection import BisectionPlan, IdenticalBuild, Mark, Skip, SkipKind, Subrun
from harness.model.experiment import Arm, BlockPlace, Experiment, Place, RungPlace
from harness.model.run import SubrunRole
from harness.model.trial import Outcome, Trial
from harness.model.verdict import Decision
from harness.stats.blocks import boot_value
from harness.stats.faults import Fault, faults_of

# Boots of one kernel that failed, each unlike the other, after which it is given up.
MAX_UNLIKE_FAILURES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is stored of a bisection."""

    plan: BisectionPlan
    experiment: Experiment
    # Whether a crash counts only when it was seen twice (emulation).
    confirm: bool
    # The A/B run of both ends; None while it is not finished.
    ends: tuple[Trial[BlockPlace], ...] = ()
    ends_decision: Decision | None = None
    # Boots of the search itself, in the order they were made.
    trials: tuple[Trial[RungPlace], ...] = ()
    marks: tuple[Mark, ...] = ()
    identical_builds: tuple[IdenticalBuild, ...] = ()
    # Finished A/B runs of neighbours, and of far ends with a culprit undone.
    proofs: tuple[tuple[Subrun, tuple[Trial[BlockPlace], ...], Decision], ...] = ()

    def decision_of(self, run_id: str | None) -> Decision | None:
        """What the A/B run of a proof or a revert test decided; None where there is none."""
        return next((decision for subrun, _, decision in self.proofs if subrun.run_id == run_id), None)


@dataclass(slots=True)
class LadderEvidence:
    """What is known of each rung; rungs without a boot are not in the mappings."""

    boots: dict[int, list[Trial[Place]]] = field(default_factory=dict)
    # Rung -> why it cannot be tested.
    skipped: dict[int, Skip] = field(default_factory=dict)
    faults: dict[int, Fault] = field(default_factory=dict)
    # A rung whose last boot failed in a way that does not count yet: it is booted again first.
    pending: int | None = None

    def values(self, metric: str, rungs: Iterable[int]) -> dict[int, list[float]]:
        """Per-boot medians of a metric, of those of `rungs` that can be tested."""
        return {
            rung: values
            for rung in rungs
            if rung not in self.skipped
            and (values := [v for trial in self.boots.get(rung, ()) if (v := _value(trial, metric)) is not None])
        }


def _value(trial: Trial[Place], metric: str) -> float | None:
    return boot_value(trial, metric) if trial.outcome is Outcome.OK else None


def ends_of(plan: BisectionPlan, trials: Iterable[Trial[BlockPlace]]) -> Iterable[tuple[int, Trial[BlockPlace]]]:
    """Boots of the A/B run of both ends, with their rungs."""
    return ((0 if trial.place.arm is Arm.BASELINE else plan.last, trial) for trial in trials)


def rung_of(plan: BisectionPlan, subrun: Subrun, arm: Arm) -> int | None:
    """The rung that an arm of a subrun is; None for kernels that are on no rung."""
    if subrun.role is SubrunRole.REVERT_TEST:
        return subrun.before if arm is Arm.BASELINE else None
    if arm is Arm.CANDIDATE:
        return subrun.after
    return None if subrun.role is SubrunRole.PROOF and plan.rungs[subrun.after].parent else subrun.before


def ladder_evidence(evidence: Evidence, *, inner_boots: int | None = None, proofs: bool = True) -> LadderEvidence:
    """The findings; with ``inner_boots`` those after so many boots of the search, without proofs."""
    found = LadderEvidence()
    for rung, of_end in ends_of(evidence.plan, evidence.ends):
        found.boots.setdefault(rung, []).append(of_end)
    for trial in evidence.trials[:inner_boots]:
        found.boots.setdefault(trial.place.rung, []).append(trial)
    if proofs and inner_boots is None:
        for subrun, trials, _ in evidence.proofs:
            for of_arm in trials:
                arm_rung = rung_of(evidence.plan, subrun, of_arm.place.arm)
                if arm_rung is not None:
                    found.boots.setdefault(arm_rung, []).append(of_arm)
    for rung, trials_there in found.boots.items():
        _judge(found, rung, trials_there, confirm=evidence.confirm)
    for mark in evidence.marks:
        if mark.skip:
            found.skipped[mark.rung] = Skip(kind=SkipKind.MARKED, text=mark.reason)
        elif mark.rung not in found.faults:
            found.skipped.pop(mark.rung, None)
    found.pending = _pending(evidence.trials[:inner_boots], found)
    return found


def _judge(found: LadderEvidence, rung: int, trials: Sequence[Trial[Place]], *, confirm: bool) -> None:
    faults: Mapping[str, Fault] = faults_of(trials, confirm=confirm)
    if faults:
        fault = found.faults[rung] = next(iter(faults.values()))
        found.skipped[rung] = Skip(
            kind=SkipKind.FAULT, outcome=fault.outcome, failed=fault.failed, boots=fault.boots, text=fault.message
        )
        return
    failed = [trial for trial in trials if trial.outcome not in {Outcome.OK, Outcome.LOST}]
    if len(failed) >= MAX_UNLIKE_FAILURES:
        found.skipped[rung] = Skip(kind=SkipKind.UNLIKE, failed=len(failed), boots=len(trials))


def _pending(trials: Sequence[Trial[RungPlace]], found: LadderEvidence) -> int | None:
    """The rung of the last boot that was not lost, where that failed and proves nothing alone."""
    last = next((trial for trial in reversed(trials) if trial.outcome is not Outcome.LOST), None)
    if last is None or last.outcome is Outcome.OK or last.place.rung in found.skipped:
        return None
    return last.place.rung
