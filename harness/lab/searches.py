"""Stored searches: where they stand, their logs, and kernels taken out of them by hand."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.bisect.evidence import Evidence
from harness.bisect.fold import stand
from harness.bisect.view import Standing, view_of
from harness.errors import ConfigError
from harness.lab.workspace import Workspace
from harness.model.bisection import BisectionOutcome, BisectionPlan, Mark, SearchView
from harness.model.run import Run
from harness.run.evidence import stored_evidence
from harness.workloads.registry import metrics_of

# Of a commit's hash, as git has it.
_LEAST_DIGITS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSearch:
    """A search, with all that is known of it. `outcome` is None while it is open."""

    run: Run
    evidence: Evidence
    outcome: BisectionOutcome | None

    @property
    def plan(self) -> BisectionPlan:
        """What is searched."""
        return self.evidence.plan

    def standing(self) -> Standing:
        """What follows from what was booted."""
        return stand(self.evidence, metrics_of(self.evidence.experiment.workload))

    def view(self) -> SearchView:
        """Where it stands, for displays."""
        return view_of(self.plan, self.standing())

    def log(self) -> str:
        """Every boot, with what it was made for, as text that ``replay`` reads."""
        from harness.report.search.bisectlog import write_log

        return write_log(self.run.id, self.evidence)

    def git_log(self) -> str:
        """What `git bisect replay` takes, for each edge between commits. Raises ConfigError where there is none."""
        from harness.report.search.gitbisectlog import git_bisect_log

        edges = self.outcome.edges if self.outcome else ()
        standing = self.standing()
        logs = [text for edge in edges if (text := git_bisect_log(self.evidence, standing, edge, edges))]
        if not logs:
            raise ConfigError(
                f"search {self.run.id} has found no edge between commits",
                remedy="`kab bisect log` prints any search as text that `kab bisect replay` reads.",
            )
        return "\n".join(logs)


def stored_search(workspace: Workspace, run_id: str | None = None) -> StoredSearch:
    """A stored search, the newest where none is named. Raises ConfigError."""
    store = workspace.store
    wanted = run_id if run_id not in {None, "last"} else store.bisections.newest()
    if wanted is None:
        raise ConfigError("there is no search yet", remedy="Begin one with `kab bisect FROM TO`.")
    found = store.run(wanted)
    plan = store.bisections.plan(found.id)
    if plan is None:
        raise ConfigError(
            f"run {found.id} is no search but a `kab {found.verb}`", remedy=f"See `kab report {found.id}`."
        )
    return StoredSearch(
        run=found,
        evidence=stored_evidence(store, store.bisections, found, plan),
        outcome=store.bisections.outcome(found.id),
    )


def replay(log: str) -> Iterator[SearchView]:
    """The search of a log again, without a boot: where it stood after each step. Raises ConfigError."""
    from harness.report.search.bisectlog import read_log, steps_of

    for step in steps_of(read_log(log)):
        yield view_of(step.plan, stand(step, metrics_of(step.experiment.workload)))


def skip(workspace: Workspace, spec: str, *, undo: bool, reason: str) -> tuple[Run, str]:
    """As Lab.skip; `spec` may be a rung's number, or the beginning of a commit's hash, too."""
    newest = workspace.store.bisections.newest(unfinished=True)
    if newest is None:
        raise ConfigError("there is no unfinished search", remedy="Begin one with `kab bisect FROM TO`.")
    found = stored_search(workspace, newest)
    run, plan = found.run, found.plan
    rungs = [
        index
        for index, rung in enumerate(plan.rungs)
        if spec.removeprefix(f"{rung.spec.partition(':')[0]}:")
        in {str(index), rung.release, rung.version, rung.spec.partition(":")[2]}
        or (rung.commit is not None and len(spec) >= _LEAST_DIGITS and rung.commit.sha.startswith(spec))
    ]
    if len(rungs) != 1:
        known = ", ".join(rung.spec for rung in plan.rungs)
        raise ConfigError(f"{spec} is not a kernel of search {run.id}", remedy=f"Its ladder: {known}.")
    (rung,) = rungs
    if rung in {0, plan.last}:
        raise ConfigError(f"{spec} is an end of the ladder", remedy="Name another end instead of skipping it.")
    mark = Mark(rung=rung, skip=not undo, reason=reason, after_trials=len(run.trials))
    workspace.store.bisections.add_mark(run.id, mark)
    return run, plan.rungs[rung].release
