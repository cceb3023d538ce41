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
# Options of a search that `kab ab` does not know or that are given anew: those with a value, and flags.
_OWN_OPTIONS = frozenset(
    {"--ladder", "--edges", "--confidence", "--flavour", "--suite", "--max-boots", "--metric", "--error", "--seed"}
    | {"--config", "--fragment", "--cc", "--builder", "--build-fix", "--series", "--from-run"}
    | {"--progress", "--html", "--json", "--mail"}
)
# The two words after --config-diff are left out as all are that belong to no option.
_OWN_FLAGS = frozenset({"--resume", "--new", "--every", "--crash-is-slow", "--config-diff"})


class Searched(Protocol):
    """What the search was asked."""

    @property
    def conditions(self) -> Mapping[str, str]:
        """What must not change inside a run."""

    @property
    def host(self) -> Mapping[str, str]:
        """Fingerprint of the host."""

    @property
    def command(self) -> tuple[str, ...]:
        """argv of the search."""


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
        subrun = Subrun(role=asked.role, before=asked.before, after=asked.after, run_id=ab.new_run_id())
        bisections.add_subrun(search.id, subrun)
    else:
        stored = _stored(ab.store, subrun)
        if stored is not None:
            return stored
    run_id = subrun.run_id
    specs = (asked.baseline.spec, asked.candidate.spec)
    run, decision = replace(ab, new_run_id=lambda: run_id).execute(
        AbRequest(
            experiment=replace(asked.experiment, baseline=specs[0], candidate=specs[1]),
            baseline=asked.baseline,
            candidate=asked.candidate,
            conditions={**asked_of.conditions, SUBRUN_CONDITION: f"{search.id} ({asked.role})"},
            host=asked_of.host,
            command=("kab", "ab", *specs, *_settings(asked_of.command, asked.experiment)),
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


def _settings(command: tuple[str, ...], experiment: Experiment) -> tuple[str, ...]:
    """Options with which `kab ab` makes the same experiment as a search's command."""
    kept: list[str] = []
    words = iter(command[2:])
    for word in words:
        name = word.partition("=")[0]
        if name in _OWN_FLAGS or not word.startswith("-") or word == "--":
            continue
        value = () if "=" in word else (next(words, ""),)
        if name not in _OWN_OPTIONS:
            kept += [word, *value]
    error = f"{100 * experiment.error:g}%"
    return (*kept, "--metric", experiment.metric, "--error", error, "--max-boots", str(experiment.max_boots))
