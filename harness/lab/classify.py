"""One kernel against a stored run: like its fast side, or like its slow one?"""

from typing import TYPE_CHECKING

from harness.config import Request, consent_words, words_of
from harness.errors import ConfigError
from harness.lab.bench import OpenBench, check_job, run_conditions, runner
from harness.model.run import Run
from harness.model.verdict import Decision
from harness.parse.units import fraction_text
from harness.run.classify import ClassifyLoop, KnownSides, check_conditions, sides_of_ab, sides_of_search
from harness.run.evidence import stored_evidence
from harness.workloads.registry import metrics_of

if TYPE_CHECKING:
    from harness.lab.lab import Lab

# Of one reference in a row; a `git bisect run` makes some twenty.
_MOST_CLASSIFICATIONS = 10_000


def classify(
    lab: "Lab",
    spec: str,
    *,
    like: str,
    error: float,
    max_boots: int,
    request: Request,
    bench: OpenBench | None,
    destroy_data: str,
    command: tuple[str, ...],
) -> tuple[Run, Decision]:
    """As Lab.classify."""
    if not 0 < error < 0.5:
        raise ConfigError(f"an error of {error:g} is asked for: it must lie between 0 and 0.5")
    known = _known_sides(lab, like)
    experiment = known.run.experiment
    check_job(experiment.workload)
    kernel = lab.resolve(spec)
    again = (
        *("kab", "test", spec, "--like", known.run.id, "--error", fraction_text(error), "--max-boots", str(max_boots)),
        *words_of(Request(accelerator=request.accelerator, connect=request.connect)),
        *consent_words(destroy_data),
    )
    if request.accelerator is None and bench is None:
        request = Request(accelerator=known.run.conditions.get("accelerator"), connect=request.connect)
    with lab.bench_for(request, bench, destroy_data) as opened:
        opened.check(experiment)
        conditions = run_conditions(opened, kernel, experiment.workload)
        check_conditions(known, conditions)
        loop = ClassifyLoop(runner=runner(lab, opened, kernel), error=error, max_boots=max_boots)
        return loop.execute(known, kernel, spec=spec, conditions=conditions, host=opened.host, command=command or again)


def _known_sides(lab: "Lab", like: str) -> KnownSides:
    """The fast and the slow side of a stored run. Raises ConfigError where it has none."""
    stored = _reference(lab, like)
    plan = lab.store.bisections.plan(stored.id)
    if plan is None:
        return sides_of_ab(stored, lab.store.decision(stored.id), metrics_of(stored.experiment.workload))
    return sides_of_search(
        stored, stored_evidence(lab.store, lab.store.bisections, stored, plan), metrics_of(stored.experiment.workload)
    )


def _reference(lab: "Lab", like: str) -> Run:
    """The stored run `like`; "last" is the newest that is no classification itself: it can be said again."""
    if like != "last":
        return lab.store.run(like)
    for run in lab.store.runs(_MOST_CLASSIFICATIONS):
        if run.parent is None and run.verb != "test":
            return lab.store.run(run.id)
    raise ConfigError(
        "there is no run to be like yet", remedy="`kab ab` or `kab bisect` makes one; `kab runs` lists them."
    )
