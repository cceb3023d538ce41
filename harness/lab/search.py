"""A search: from what is asked for to a range of kernels, a request and its loop, and back from what is stored."""

from collections.abc import Callable
from dataclasses import replace

from harness.config import (
    Request,
    ab_command,
    build_experiment,
    load_workloads,
    request_of,
)
from harness.errors import ConfigError
from harness.kbuild.ahead import BuildAhead
from harness.lab.bench import BenchChoice, OpenBench, check_job, require_one_architecture, run_conditions, runner
from harness.lab.ranges import (
    BuildOptions,
    KernelRange,
    config_counter,
    config_range,
    continued_range,
    git_counter,
    git_range,
    means_history,
    options_between,
    package_range,
    series_range,
)
from harness.lab.resuming import other_conditions, refuse_another, says_anything, to_resume
from harness.lab.searchrequest import SearchRequest, search_command
from harness.lab.treesuspects import check_packages
from harness.lab.workspace import Workspace
from harness.model.bisection import BisectionOutcome, BisectionPlan, FoundEdge
from harness.model.experiment import Experiment
from harness.model.kernel import Kernel
from harness.model.run import Run
from harness.model.trial import Stage
from harness.parse.units import parse_fraction
from harness.run.ab import AbLoop
from harness.run.answer import TreeLister
from harness.run.bisect import BisectLoop, BisectRequest
from harness.workloads.registry import metrics_of

DEFAULT_MAX_BOOTS = 80
_LEAST_CONFIDENCE = 0.5


def search(
    workspace: Workspace,
    wanted: SearchRequest,
    *,
    tree: TreeLister | None,
    bench: BenchChoice,
    destroy_data: str,
    command: tuple[str, ...],
) -> tuple[Run, BisectionOutcome]:
    """As Lab.search: make or continue it, to its end."""
    stored = to_resume(workspace) if wanted.resume else None
    if stored is not None and not says_anything(wanted):
        run, plan = stored
        experiment, command = run.experiment, run.command
    else:
        experiment, plan = _planned(workspace, wanted, stored[1] if stored else None)
        if stored is not None:
            refuse_another(stored, experiment, plan)
    check_job(experiment.workload)
    check_packages(plan, wanted.tree)
    first, last = workspace.resolve(plan.rungs[0].spec), workspace.resolve(plan.rungs[-1].spec)
    require_one_architecture(first, last)
    request = wanted.experiment
    usual = stored[0].conditions.get("accelerator") if stored is not None else None
    with bench.open(request, usual=usual) as opened:
        opened.check(experiment)
        asked = BisectRequest(
            experiment=experiment,
            plan=plan,
            first=first,
            last=last,
            conditions=run_conditions(opened, first, experiment.workload),
            host=opened.host,
            command=command or search_command(wanted, destroy_data=destroy_data),
            repeat=_repeat(request, destroy_data),
            max_boots=request.max_boots or DEFAULT_MAX_BOOTS,
            fresh=wanted.fresh,
        )
        if stored is not None and asked.digest != stored[0].digest:
            raise other_conditions(stored[0], asked.conditions)
        with BuildAhead(workspace.environment) as ahead:
            loop = _loop(workspace, opened, asked, ahead)
            return replace(loop, tree=tree).execute(asked)


def _repeat(request: Request, destroy_data: str) -> Callable[[Experiment], tuple[str, ...]]:
    """How to make an A/B run of a search again, on guests like the search's."""
    catalogue = load_workloads()

    def repeat(experiment: Experiment) -> tuple[str, ...]:
        asked = request_of(experiment, catalogue)
        place = replace(asked, accelerator=request.accelerator, connect=request.connect)
        return ab_command(place, destroy_data=destroy_data)

    return repeat


def _loop(workspace: Workspace, bench: OpenBench, asked: BisectRequest, ahead: BuildAhead) -> BisectLoop:
    """The loop of a search; where its kernels are built, likely ones are built while others boot."""
    plan = asked.plan

    def resolve(spec: str) -> Kernel:
        ahead.make_way(spec)
        return workspace.resolve(spec)

    def on_stage(stage: Stage) -> None:
        # Builds stand still while a guest measures.
        if stage in {Stage.WARMUP, Stage.MEASURE}:
            ahead.hold()
        else:
            ahead.release()

    return BisectLoop(
        ab=AbLoop(
            runner=runner(workspace, bench, asked.first, on_stage=on_stage),
            metrics=metrics_of(asked.experiment.workload),
        ),
        bisections=workspace.store.bisections,
        resolve=resolve,
        changes=workspace.kernels.changes,
        counter=_counter(workspace, plan),
        effect=options_between,
        ahead=ahead.want if plan.built else None,
    )


def _planned(
    workspace: Workspace, wanted: SearchRequest, stored: BisectionPlan | None = None
) -> tuple[Experiment, BisectionPlan]:
    """The experiment and the ladder, that of `stored` where none is named.

    The experiment is checked before any list is fetched. Raises ConfigError.
    """
    request = wanted.experiment
    ends = (wanted.ladder,) if wanted.ladder else wanted.ends
    if not ends and (stored is None or request.baseline is not None):
        ends = _ends_of(request)
    # Its cap is that of a proof; --max-boots is that of the search.
    experiment = build_experiment(replace(request, baseline="-", candidate="-", max_boots=None), load_workloads())
    confidence = 0.99 if wanted.confidence is None else parse_fraction(wanted.confidence)
    if not _LEAST_CONFIDENCE < confidence < 1:
        raise ConfigError(f"--confidence {wanted.confidence}: it must lie between 50% and 100%")
    if stored is None or ends:
        found = _range(workspace, ends, wanted)
    else:
        found = KernelRange(rungs=stored.rungs, build_fixes=stored.build_fixes)
    if len(found.rungs) == 2:
        workspace.progress.note("nothing lies between the two ends: `kab ab` would do")
    plan = BisectionPlan(
        rungs=found.rungs,
        edges=wanted.edges,
        confidence=confidence,
        crash_is_slow=wanted.crash_is_slow,
        build_fixes=found.build_fixes,
    )
    return replace(experiment, baseline=found.rungs[0].spec, candidate=found.rungs[-1].spec), plan


def _range(workspace: Workspace, ends: tuple[str, ...], wanted: SearchRequest) -> KernelRange:
    """The kernels to search. Raises ConfigError, HostError, DoesNotApplyError (a patch of a series)."""
    if wanted.series_version is not None and wanted.series is None:
        raise ConfigError("--series-version is of a series", remedy="Name it with --series, or leave the option out.")
    if wanted.series is not None:
        if len(ends) != 1:
            raise ConfigError(
                "a patch series goes on top of one revision", remedy="Write kab bisect --series DIR git:TREE@REV."
            )
        return series_range(
            workspace, wanted.series, ends[0], wanted.build, wanted.build_fixes, version=wanted.series_version
        )
    if wanted.config_diff is not None:
        if len(ends) != 1:
            raise ConfigError(
                "configurations are compared on one revision",
                remedy="Write kab bisect --config-diff GOOD BAD git:TREE@REV.",
            )
        return config_range(workspace, *wanted.config_diff, ends[0], wanted.build)
    if wanted.from_run is not None:
        run = workspace.store.run(wanted.from_run)
        return continued_range(workspace, run, ends[0], ends[1:], wanted.build, wanted.build_fixes)
    if means_history(ends):
        return git_range(workspace, ends, wanted.build, wanted.build_fixes)
    if wanted.build != BuildOptions() or wanted.build_fixes:
        raise ConfigError(
            "--config, --fragment, --cc, --builder and --build-fix are for kernels that are built",
            remedy="Write kab bisect git:TREE@OLD..NEW.",
        )
    return package_range(workspace, ends, flavour=wanted.flavour, suites=wanted.suites, every=wanted.every)


def _counter(workspace: Workspace, plan: BisectionPlan) -> Callable[[BisectionPlan, FoundEdge, int], str] | None:
    """How an edge's change is undone at the far end; None for packages, which nobody can take a commit out of."""
    if not plan.built:
        return None
    return config_counter(workspace) if plan.rungs[-1].commit is None else git_counter


def _ends_of(request: Request) -> tuple[str, ...]:
    """The ends that an experiment file names as baseline and candidate."""
    if request.baseline is None or request.candidate is None:
        raise ConfigError(
            "no ladder is named",
            remedy="Write `kab bisect FROM TO`, or --ladder 'debian:6.12.*', or name both kernels in the "
            "experiment file; --resume continues the newest unfinished search.",
        )
    return request.baseline, request.candidate
