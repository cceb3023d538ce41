"""A against B: from what is asked for to a stored run with its verdict."""

from harness.config import Request, ab_command, build_experiment, load_workloads
from harness.lab.bench import BenchChoice, check_job, require_one_architecture, run_conditions, runner
from harness.lab.workspace import Workspace
from harness.model.run import Run
from harness.model.verdict import Decision
from harness.run.ab import AbLoop, AbRequest
from harness.workloads.registry import metrics_of


def compare(
    workspace: Workspace,
    request: Request,
    *,
    bench: BenchChoice,
    destroy_data: str,
    fresh: bool,
    command: tuple[str, ...],
) -> tuple[Run, Decision]:
    """As Lab.compare: resolve, check, and run the A/B loop to its decision."""
    experiment = build_experiment(request, load_workloads())
    check_job(experiment.workload)
    baseline = workspace.resolve(experiment.baseline)
    candidate = workspace.resolve(experiment.candidate)
    require_one_architecture(baseline, candidate)
    with bench.open(request) as opened:
        opened.check(experiment)
        return AbLoop(runner=runner(workspace, opened, baseline), metrics=metrics_of(experiment.workload)).execute(
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
