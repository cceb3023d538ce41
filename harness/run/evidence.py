"""What is stored of a search, gathered for the fold that says where it stands."""

from collections.abc import Sequence

from harness.bisect.evidence import Evidence
from harness.interfaces import Bisections, Store
from harness.model.bisection import BisectionPlan, Subrun
from harness.model.experiment import RungPlace
from harness.model.guest import Accelerator
from harness.model.run import Run, SubrunRole
from harness.model.trial import Trial
from harness.model.verdict import Decision


def stored_evidence(store: Store, bisections: Bisections, run: Run, plan: BisectionPlan) -> Evidence:
    """What is stored of a bisection, for reports."""
    ends: tuple[Run, Decision] | None = None
    proofs = []
    for subrun in bisections.subruns(run.id):
        made, decision = store.run(subrun.run_id), store.decision(subrun.run_id)
        if decision is None:
            continue
        if subrun.role is SubrunRole.ENDS:
            ends = (made, decision)
        else:
            proofs.append((subrun, made, decision))
    confirm = run.conditions.get("accelerator") == Accelerator.TCG
    return evidence_of(bisections, run, plan, trials=run.rung_trials, ends=ends, proofs=proofs, confirm=confirm)


def evidence_of(
    bisections: Bisections,
    run: Run,
    plan: BisectionPlan,
    *,
    trials: Sequence[Trial[RungPlace]],
    ends: tuple[Run, Decision] | None,
    proofs: Sequence[tuple[Subrun, Run, Decision]],
    confirm: bool,
) -> Evidence:
    """The evidence of a search whose boots and subruns are at hand."""
    return Evidence(
        plan=plan,
        experiment=run.experiment,
        confirm=confirm,
        ends=ends[0].block_trials if ends else (),
        ends_decision=ends[1] if ends else None,
        trials=tuple(trials),
        marks=bisections.marks(run.id),
        identical_builds=bisections.identical_builds(run.id),
        proofs=tuple((subrun, made.block_trials, decision) for subrun, made, decision in proofs),
    )
