"""A/B runs that are subruns of a search: its ends, the proof of an edge, and a culprit undone at the far end."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from harness.errors import ConfigError
from harness.interfaces import Bisections, Store
from harness.model.bisection import Subrun, SubrunRole
from harness.model.experiment import Experiment
from harness.model.kernel import Kernel
from harness.model.run import Run, RunState
from harness.model.verdict import Decision
from harness.run.ab import AbLoop, AbRequest

# Conditions that name the part of a bisection that a run is: with them no other run has its digest.
SUBRUN_CONDITION = "part of"


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
    """The A/B run noted for these rungs, made or continued where it is not finished. Raises as AbLoop.execute."""
    place = (asked.role, asked.before, asked.after)
    subrun = next((one for one in bisections.subruns(search.id) if (one.role, one.before, one.after) == place), None)
    if subrun is None:
        subrun = Subrun(role=asked.role, before=asked.before, after=asked.after, run_id=ab.runner.new_run_id())
        bisections.add_subrun(search.id, subrun)
    else:
        stored = _stored(ab.runner.store, subrun)
        if stored is not None:
            return stored
    run_id = subrun.run_id
    specs = (asked.baseline.spec, asked.candidate.spec)
    experiment = replace(asked.experiment, baseline=specs[0], candidate=specs[1])
    run, decision = replace(ab, runner=replace(ab.runner, new_run_id=lambda: run_id)).execute(
        AbRequest(
            experiment=experiment,
            baseline=asked.baseline,
            candidate=asked.candidate,
            conditions={**asked_of.conditions, SUBRUN_CONDITION: f"{search.id} ({asked.role})"},
            host=asked_of.host,
            command=asked_of.repeat(experiment),
        )
    )
    return subrun, run, decision


def _stored(store: Store, subrun: Subrun) -> tuple[Subrun, Run, Decision] | None:
    """A subrun that is finished."""
    try:
        run = store.run(subrun.run_id)
    except ConfigError:
        return None
    decision = store.decision(subrun.run_id) if run.state is RunState.FINISHED else None
    return None if decision is None else (subrun, run, decision)
