"""What came of a matrix's cell, from its A/B run; of a gate's cell, from what the gate believes of it."""

from collections.abc import Sequence

from harness.errors import ConfigError, ExitCode, HostError, KabError, KernelError
from harness.model.experiment import Arm, Experiment
from harness.model.matrix import Cell, CellResult, CellVerdict, FailKind, MetricVerdict
from harness.model.run import KernelRecord, Run
from harness.model.trial import Outcome
from harness.model.verdict import ArmFault, Decision
from harness.parse.foreign import printable
from harness.report.decisions import decision_reason

# Of what a kernel, a mirror or a host said, in characters.
_SAID = 400
AUTO = "auto"


def deciding_metrics(experiment: Experiment) -> tuple[str, ...]:
    """Names of the metrics that a cell's verdict may come of."""
    return tuple(experiment.workload.deciding) if experiment.metric == AUTO else (experiment.metric,)


def compared(cell: Cell, run: Run | None, decision: Decision | None) -> CellResult:
    """The result of a cell that is an A/B comparison with an error of its own; what is known by now, while it is open.

    A candidate that fails where the baseline runs is faulty. Where the baseline fails there is nothing to be measured
    against, whatever the candidate does.
    """
    if run is None:
        return CellResult(cell=cell.name, verdict=CellVerdict.INCONCLUSIVE, reason="not begun")
    if decision is None:
        reason = f"not finished: {len(run.trials)} boots are made"
        return _of_run(cell, run, CellVerdict.INCONCLUSIVE, reason)
    metrics = tuple(
        MetricVerdict(
            metric=name,
            margin=cell.experiment.margin,
            verdict=CellVerdict(found.verdict.value),
            comparison=found,
        )
        for name in deciding_metrics(cell.experiment)
        if (found := decision.comparisons.get(name)) is not None
    )
    reason = decision_reason(decision)
    faults = decision.why.faults if decision.why is not None else ()
    if faults:
        return faulty(cell, run, faults, reason, metrics=metrics)
    return _of_run(cell, run, CellVerdict(decision.verdict.value), reason, metrics=metrics)


def faulty(
    cell: Cell, run: Run, faults: Sequence[ArmFault], reason: str, *, metrics: tuple[MetricVerdict, ...] = ()
) -> CellResult:
    """The result of a cell in which boots of a kernel fail."""
    if {fault.arm for fault in faults} != {Arm.CANDIDATE}:
        return _of_run(cell, run, CellVerdict.INCONCLUSIVE, reason, metrics=metrics)
    kinds = {FailKind.DATA if fault.outcome is Outcome.CORRUPTED else FailKind.FAULT for fault in faults}
    fails = tuple(kind for kind in FailKind if kind in kinds)
    return _of_run(cell, run, CellVerdict.FAULTY, reason, metrics=metrics, fails=fails)


def unmeasured(
    cell: Cell,
    error: KabError,
    *,
    run: Run | None = None,
    baseline: KernelRecord | None = None,
    candidate: KernelRecord | None = None,
) -> CellResult:
    """The result of a cell that `error` keeps from being measured; kernels as far as they were found.

    The host's trouble stays the host's; whatever else says nothing of a kernel is the user's to mend.
    """
    trouble = ExitCode.HOST if isinstance(error, HostError) else ExitCode.USAGE
    return CellResult(
        cell=cell.name,
        verdict=CellVerdict.UNMEASURED,
        reason=_first_line(error),
        run_id=None if run is None else run.id,
        baseline=baseline if run is None else run.baseline,
        candidate=candidate if run is None else run.candidate,
        boots=0 if run is None else len(run.trials),
        trouble=trouble,
    )


def not_there(
    cell: Cell, arm: Arm, error: KabError, *, baseline: KernelRecord | None, candidate: KernelRecord | None
) -> CellResult:
    """The result of a cell whose kernel of `arm` cannot be had.

    A candidate that does not build is faulty; against a baseline that does not, nothing can be measured. All else
    (a mirror that is away, a package that is gone, a patch that does not apply) says nothing of a kernel.
    """
    if not isinstance(error, KernelError) or isinstance(error, ConfigError | HostError):
        return unmeasured(cell, error, baseline=baseline, candidate=candidate)
    bad = arm is Arm.CANDIDATE
    return CellResult(
        cell=cell.name,
        verdict=CellVerdict.FAULTY if bad else CellVerdict.INCONCLUSIVE,
        reason=f"the {arm} cannot be had: {_first_line(error)}",
        baseline=baseline,
        candidate=candidate,
        fails=(FailKind.FAULT,) if bad else (),
    )


def _of_run(
    cell: Cell,
    run: Run,
    verdict: CellVerdict,
    reason: str,
    *,
    metrics: tuple[MetricVerdict, ...] = (),
    fails: tuple[FailKind, ...] = (),
) -> CellResult:
    return CellResult(
        cell=cell.name,
        verdict=verdict,
        reason=reason,
        metrics=metrics,
        run_id=run.id,
        baseline=run.baseline,
        candidate=run.candidate,
        boots=len(run.trials),
        fails=fails,
    )


def _first_line(error: KabError) -> str:
    return printable(error.message.strip().partition("\n")[0] or type(error).__name__, limit=_SAID)
