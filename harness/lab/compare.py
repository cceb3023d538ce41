"""A against B: from what is asked for to a stored run with its verdict."""

from typing import TYPE_CHECKING

from harness.config import Request, ab_command, build_experiment, load_workloads
from harness.lab.bench import OpenBench, check_job, require_one_architecture, run_conditions, runner
from harness.model.run import Run
from harness.model.verdict import Decision
from harness.run.ab import AbLoop, AbRequest
from harness.workloads.registry import metrics_of

if TYPE_CHECKING:
    from harness.lab.lab import Lab


def compare(
    lab: "Lab",
    request: Request,
    *,
    bench: OpenBench | None,
    destroy_data: str,
    fresh: bool,
    command: tuple[str, ...],
) -> tuple[Run, Decision]:
    """As Lab.compare: resolve, check, and run the A/B loop to its decision."""
    experiment = build_experiment(request, load_workloads())
    check_job(experiment.workload)
    baseline = lab.resolve(experiment.baseline)
    candidate = lab.resolve(experiment.candidate)
    require_one_architecture(baseline, candidate)
    with lab.bench_for(request, bench, destroy_data) as opened:
        opened.check(experiment)
        return AbLoop(runner=runner(lab, opened, baseline), metrics=metrics_of(experiment.workload)).execute(
            AbRequest(
                experiment=experiment,
                baseline=baseline,
                candidate=candidate,
                conditions=run_conditions(opened, baseline, experiment.workload),
                host=opened.host,
                command=command or ab_command(request, destroy_data=destroy_data),
                fresh=fresh,
            )
        )
