"""Kernels that fail: which failures count against a kernel, and when a run must end because of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.model.experiment import Arm, BlockPlace, Place
from harness.model.trial import Outcome, Trial

# Told by one boot: no host or emulator makes a compiler fail or data rot in a way that a second try would excuse.
_SURE_AT_ONCE = frozenset({Outcome.BUILD_FAILED, Outcome.CORRUPTED})
# A stage that ran out of time or a workload that failed may be the host's doing: seen twice before it counts.
_NEVER_SURE_AT_ONCE = frozenset({Outcome.HUNG, Outcome.WORKLOAD_FAILED, Outcome.USERSPACE_DIED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A failure that counts against a kernel."""

    kernel_digest: str
    outcome: Outcome
    # What all boots of this fault share, see Finding.signature.
    signature: str
    # Boots that failed so, of all boots of this kernel that were not lost.
    failed: int
    boots: int
    # What the first of them said, for people.
    message: str


def signature_of(trial: Trial[Place]) -> str:
    """What two failures must share to be the same one: outcome, and the place of the crash where the log shows one."""
    crash = next((finding for finding in trial.findings if finding.kind.is_crash), None)
    return f"{trial.outcome}: {crash.signature}" if crash else str(trial.outcome)


def counts_at_once(outcome: Outcome, *, confirm: bool) -> bool:
    """Whether one boot with this outcome is proof; ``confirm`` asks for a second one of every crash (emulation)."""
    if outcome in _SURE_AT_ONCE:
        return True
    return outcome.is_kernel_fault and outcome not in _NEVER_SURE_AT_ONCE and not confirm


def faults_of(trials: Iterable[Trial[Place]], *, confirm: bool) -> Mapping[str, Fault]:
    """Faults by kernel digest: failures that are sure at once, and those seen twice in the same way."""
    boots: Counter[str] = Counter()
    failures: dict[tuple[str, str], list[Trial[Place]]] = {}
    for trial in trials:
        if trial.outcome is Outcome.LOST:
            continue
        boots[trial.kernel_digest] += 1
        if trial.outcome is not Outcome.OK:
            failures.setdefault((trial.kernel_digest, signature_of(trial)), []).append(trial)
    faults: dict[str, Fault] = {}
    for (digest, signature), failed in failures.items():
        first = failed[0]
        if digest in faults or (len(failed) < 2 and not counts_at_once(first.outcome, confirm=confirm)):
            continue
        faults[digest] = Fault(
            kernel_digest=digest,
            outcome=first.outcome,
            signature=signature,
            failed=len(failed),
            boots=boots[digest],
            message=first.message,
        )
    return faults


def faulty_arms(trials: Sequence[Trial[BlockPlace]], *, confirm: bool) -> Mapping[Arm, Fault]:
    """Faults by arm; both arms when they are one kernel."""
    faults = faults_of(trials, confirm=confirm)
    return {trial.place.arm: faults[trial.kernel_digest] for trial in trials if trial.kernel_digest in faults}


def healthy_arms(trials: Iterable[Trial[BlockPlace]]) -> frozenset[Arm]:
    """Arms with at least one ok boot."""
    return frozenset(trial.place.arm for trial in trials if trial.outcome is Outcome.OK)


def must_stop(trials: Sequence[Trial[BlockPlace]], *, confirm: bool) -> bool:
    """Whether a fault ends the run: an arm is faulty, and of the other one it is known whether it works."""
    faulty = faulty_arms(trials, confirm=confirm)
    return bool(faulty) and set(faulty) | healthy_arms(trials) == set(Arm)
