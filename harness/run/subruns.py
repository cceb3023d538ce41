"""A/B runs that are subruns of a search: its ends, the proof of an edge, and a culprit undone at the far end."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from harness.interfaces import Bisections, Store
from harness.model.bisection import Subrun, place_of
from harness.model.experiment import Experiment
from harness.model.kernel import Kernel
from harness.model.run import Parent, Run, RunState, SubrunRole
from harness.model.verdict import Decision
from harness.run.ab import AbLoop, AbRequest


class Searched(Protocol):
    """What the search was asked."""

    @property
    def conditions(self) -> Mapping[str, str]:
        """What must not change inside a run."""

    @property
    def host(self) -> Mapping[str, str]:
        """Fingerprint of the host."""

    def repeat(self, experiment: Experiment, /) -> tuple[str, ...]:
        """The `kab ab` that makes an experiment again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubrunRequest:
    """An A/B run that a search wants."""

    role: SubrunRole
    before: int
    after: int
    experiment: Experiment
    baseline: Kernel
    candidate: Kernel


def run_subrun(
    ab: AbLoop, bisections: Bisections, search: Run, asked_of: Searched, asked: SubrunRequest
) -> tuple[Subrun, Run, Decision]:
    """The A/B run of these rungs: as it is stored, or made, or continued where it is open. Raises as AbLoop.execute."""
    place = (asked.role, asked.before, asked.after)
    subrun = next((one for one in bisections.subruns(search.id) if (one.role, one.before, one.after) == place), None)
    if subrun is not None and (stored := _finished(ab.runner.store, subrun)) is not None:
        return subrun, *stored
    specs = (asked.baseline.spec, asked.candidate.spec)
    experiment = replace(asked.experiment, baseline=specs[0], candidate=specs[1])
    run, decision = ab.execute(
        AbRequest(
            experiment=experiment,
            baseline=asked.baseline,
            candidate=asked.candidate,
            conditions=asked_of.conditions,
            host=asked_of.host,
            command=asked_of.repeat(experiment),
            parent=Parent(run_id=search.id, role=asked.role, place=place_of(asked.before, asked.after)),
        )
    )
    return Subrun(role=asked.role, before=asked.before, after=asked.after, run_id=run.id), run, decision


def _finished(store: Store, subrun: Subrun) -> tuple[Run, Decision] | None:
    """A subrun and its decision; None while it is open."""
    run = store.run(subrun.run_id)
    decision = store.decision(subrun.run_id) if run.state is RunState.FINISHED else None
    return None if decision is None else (run, decision)
