"""One kernel against a stored run: like its fast side, or like its slow one?"""

from harness.config import Request, consent_words, words_of
from harness.errors import ConfigError
from harness.lab.bench import BenchChoice, check_job, run_conditions, runner
from harness.lab.workspace import Workspace
from harness.model.run import Run
from harness.model.verdict import Decision
from harness.parse.units import fraction_text
from harness.run.classify import ClassifyLoop, KnownSides, check_conditions, sides_of_ab, sides_of_search
from harness.run.evidence import stored_evidence
from harness.workloads.registry import metrics_of

# Of one reference in a row; a `git bisect run` makes some twenty.
_MOST_CLASSIFICATIONS = 10_000


def classify(
    workspace: Workspace,
    spec: str,
    *,
    like: str,
    error: float,
    max_boots: int,
    request: Request,
    bench: BenchChoice,
    destroy_data: str,
    command: tuple[str, ...],
) -> tuple[Run, Decision]:
    """As Lab.classify."""
    if not 0 < error < 0.5:
        raise ConfigError(f"an error of {error:g} is asked for: it must lie between 0 and 0.5")
    known = _known_sides(workspace, like)
    experiment = known.run.experiment
    check_job(experiment.workload)
    kernel = workspace.resolve(spec)
    again = (
        *("kab", "test", spec, "--like", known.run.id, "--error", fraction_text(error), "--max-boots", str(max_boots)),
        *words_of(Request(accelerator=request.accelerator, connect=request.connect)),
        *consent_words(destroy_data),
    )
    with bench.open(request, usual=known.run.conditions.get("accelerator")) as opened:
        opened.check(experiment)
        conditions = run_conditions(opened, kernel, experiment.workload)
        check_conditions(known, conditions)
        loop = ClassifyLoop(runner=runner(workspace, opened, kernel), error=error, max_boots=max_boots)
        return loop.execute(known, kernel, spec=spec, conditions=conditions, host=opened.host, command=command or again)


def _known_sides(workspace: Workspace, like: str) -> KnownSides:
    """The fast and the slow side of a stored run. Raises ConfigError where it has none."""
    stored = _reference(workspace, like)
    plan = workspace.store.bisections.plan(stored.id)
    if plan is None:
        return sides_of_ab(stored, workspace.store.decision(stored.id), metrics_of(stored.experiment.workload))
    return sides_of_search(
        stored,
        stored_evidence(workspace.store, workspace.store.bisections, stored, plan),
        metrics_of(stored.experiment.workload),
    )


def _reference(workspace: Workspace, like: str) -> Run:
    """The stored run `like`; "last" is the newest that is no classification itself: it can be said again."""
    if like != "last":
        return workspace.store.run(like)
    for run in workspace.store.runs(_MOST_CLASSIFICATIONS):
        if run.parent is None and run.verb != "test":
            return workspace.store.run(run.id)
    raise ConfigError(
        "there is no run to be like yet", remedy="`kab ab` or `kab bisect` makes one; `kab runs` lists them."
    )
