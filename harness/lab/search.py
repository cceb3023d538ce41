"""A search: from what is asked for to a range of kernels, a request and its loop, and back from what is stored."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config import (
    Request,
    ab_command,
    build_experiment,
    consent_words,
    load_workloads,
    request_of,
    texts_of,
    words_of,
)
from harness.errors import ConfigError
from harness.kbuild.ahead import BuildAhead
from harness.lab.bench import OpenBench, check_job, require_one_architecture, run_conditions, runner
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
from harness.lab.treesuspects import check_packages
from harness.model.bisection import BisectionOutcome, BisectionPlan, EdgeWish, FoundEdge
from harness.model.experiment import Experiment
from harness.model.kernel import Kernel
from harness.model.run import Run
from harness.model.trial import Stage
from harness.parse.plainjson import to_plain
from harness.parse.units import fraction_text, parse_fraction
from harness.run.ab import AbLoop
from harness.run.bisect import BisectLoop, BisectRequest
from harness.workloads.registry import metrics_of

if TYPE_CHECKING:
    from harness.lab.lab import Lab

DEFAULT_MAX_BOOTS = 80
_LEAST_CONFIDENCE = 0.5
_NOT_GIVEN = "not given"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What is to be searched, for what, and with which experiment."""

    # Its kernels are the ends where `ends` and `ladder` name none; its cap is that of ends and search together.
    experiment: Request = field(default_factory=Request)
    # Two kernel specs; or ``git:TREE@OLD..NEW`` and paths; or one revision, below a series or two configurations.
    ends: tuple[str, ...] = ()
    # Instead of two ends: all kernels of a pattern.
    ladder: str | None = None
    flavour: str | None = None
    suites: tuple[str, ...] = ()
    every: bool = False
    edges: EdgeWish = EdgeWish.AUTO
    # A text such as "99%"; None: that.
    confidence: str | None = None
    crash_is_slow: bool = False
    # Go on with the newest unfinished search, and no other.
    resume: bool = False
    # Begin anew where an unfinished search could be continued.
    fresh: bool = False
    # Of kernels that are built.
    build: BuildOptions = field(default_factory=BuildOptions)
    # Revisions to apply where one does not build.
    build_fixes: tuple[str, ...] = ()
    series: str | None = None
    series_version: str | None = None
    config_diff: tuple[Path, Path] | None = None
    # A finished search over packages, whose edges are to be searched in `ends`' tree.
    from_run: str | None = None
    # A clone of Linux, for suspects between packages.
    tree: Path | None = None


def search(
    lab: "Lab", wanted: SearchRequest, *, bench: OpenBench | None, destroy_data: str, command: tuple[str, ...]
) -> tuple[Run, BisectionOutcome]:
    """As Lab.search: make or continue it, to its end."""
    tree = lab.tree_lister(wanted.tree)
    stored = _to_resume(lab) if wanted.resume else None
    if stored is not None and not _says_anything(wanted):
        run, plan = stored
        experiment, command = run.experiment, run.command
    else:
        experiment, plan = _planned(lab, wanted, stored[1] if stored else None)
        if stored is not None:
            _refuse_another(stored, experiment, plan)
    check_job(experiment.workload)
    check_packages(plan, wanted.tree)
    first, last = lab.resolve(plan.rungs[0].spec), lab.resolve(plan.rungs[-1].spec)
    require_one_architecture(first, last)
    request = wanted.experiment
    if request.accelerator is None and stored is not None and bench is None:
        request = replace(request, accelerator=stored[0].conditions.get("accelerator"))
    with lab.bench_for(request, bench, destroy_data) as opened:
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
            raise _differs(stored[0].id, _differences(stored[0].conditions, asked.conditions, "host"))
        with BuildAhead(lab.environment) as ahead:
            loop = _loop(lab, opened, asked, ahead)
            return replace(loop, tree=tree).execute(asked)


def search_command(wanted: SearchRequest, *, destroy_data: str = "") -> tuple[str, ...]:
    """The whole `kab bisect` that asks for a search, wherever its results go."""
    request = replace(wanted.experiment, json=None, html=None)
    if wanted.ends or wanted.ladder:
        request = replace(request, baseline=None, candidate=None)
    # What comes after the ends of a history are paths.
    kernels, paths = wanted.ends, wanted.ends[:0]
    if wanted.from_run or means_history(wanted.ends):
        count = 2 if len(wanted.ends) > 1 and wanted.ends[1].startswith("git:") else 1
        kernels, paths = wanted.ends[:count], wanted.ends[count:]
    words = ["kab", "bisect", *kernels, *words_of(request), *consent_words(destroy_data)]
    if wanted.config_diff:
        words += ["--config-diff", *map(str, wanted.config_diff)]
    for option, said in (
        ("--ladder", wanted.ladder),
        ("--flavour", wanted.flavour),
        ("--edges", None if wanted.edges is EdgeWish.AUTO else str(wanted.edges)),
        ("--confidence", wanted.confidence),
        ("--config", wanted.build.config),
        ("--cc", wanted.build.compiler),
        ("--builder", wanted.build.builder),
        ("--series", wanted.series),
        ("--series-version", wanted.series_version),
        ("--from-run", wanted.from_run),
        ("--tree", None if wanted.tree is None else str(wanted.tree)),
    ):
        words += [option, said] if said is not None else []
    for option, texts in (
        ("--suite", wanted.suites),
        ("--fragment", wanted.build.fragments),
        ("--build-fix", wanted.build_fixes),
    ):
        words += [word for text in texts for word in (option, text)]
    flags = {"--every": wanted.every, "--crash-is-slow": wanted.crash_is_slow, "--resume": wanted.resume}
    words += [flag for flag, given in {**flags, "--new": wanted.fresh}.items() if given]
    return (*words, *(("--", *paths) if paths else ()))


def _repeat(request: Request, destroy_data: str) -> Callable[[Experiment], tuple[str, ...]]:
    """How to make an A/B run of a search again, on guests like the search's."""
    catalogue = load_workloads()

    def repeat(experiment: Experiment) -> tuple[str, ...]:
        asked = request_of(experiment, catalogue)
        place = replace(asked, accelerator=request.accelerator, connect=request.connect)
        return ab_command(place, destroy_data=destroy_data)

    return repeat


def _loop(lab: "Lab", bench: OpenBench, asked: BisectRequest, ahead: BuildAhead) -> BisectLoop:
    """The loop of a search; where its kernels are built, likely ones are built while others boot."""
    plan = asked.plan

    def resolve(spec: str) -> Kernel:
        ahead.make_way(spec)
        return lab.resolve(spec)

    def on_stage(stage: Stage) -> None:
        # Builds stand still while a guest measures.
        if stage in {Stage.WARMUP, Stage.MEASURE}:
            ahead.hold()
        else:
            ahead.release()

    return BisectLoop(
        ab=AbLoop(
            runner=runner(lab, bench, asked.first, on_stage=on_stage), metrics=metrics_of(asked.experiment.workload)
        ),
        bisections=lab.store.bisections,
        resolve=resolve,
        changes=lab.kernels.changes,
        counter=_counter(lab, plan),
        effect=options_between,
        ahead=ahead.want if plan.built else None,
    )


def _planned(
    lab: "Lab", wanted: SearchRequest, stored: BisectionPlan | None = None
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
        found = _range(lab, ends, wanted)
    else:
        found = KernelRange(rungs=stored.rungs, build_fixes=stored.build_fixes)
    if len(found.rungs) == 2:
        lab.progress.note("nothing lies between the two ends: `kab ab` would do")
    plan = BisectionPlan(
        rungs=found.rungs,
        edges=wanted.edges,
        confidence=confidence,
        crash_is_slow=wanted.crash_is_slow,
        build_fixes=found.build_fixes,
    )
    return replace(experiment, baseline=found.rungs[0].spec, candidate=found.rungs[-1].spec), plan


def _range(lab: "Lab", ends: tuple[str, ...], wanted: SearchRequest) -> KernelRange:
    """The kernels to search. Raises ConfigError, HostError, DoesNotApplyError (a patch of a series)."""
    if wanted.series_version is not None and wanted.series is None:
        raise ConfigError("--series-version is of a series", remedy="Name it with --series, or leave the option out.")
    if wanted.series is not None:
        if len(ends) != 1:
            raise ConfigError(
                "a patch series goes on top of one revision", remedy="Write kab bisect --series DIR git:TREE@REV."
            )
        return series_range(
            lab, wanted.series, ends[0], wanted.build, wanted.build_fixes, version=wanted.series_version
        )
    if wanted.config_diff is not None:
        if len(ends) != 1:
            raise ConfigError(
                "configurations are compared on one revision",
                remedy="Write kab bisect --config-diff GOOD BAD git:TREE@REV.",
            )
        return config_range(lab, *wanted.config_diff, ends[0], wanted.build)
    if wanted.from_run is not None:
        run = lab.store.run(wanted.from_run)
        return continued_range(lab, run, ends[0], ends[1:], wanted.build, wanted.build_fixes)
    if means_history(ends):
        return git_range(lab, ends, wanted.build, wanted.build_fixes)
    if wanted.build != BuildOptions() or wanted.build_fixes:
        raise ConfigError(
            "--config, --fragment, --cc, --builder and --build-fix are for kernels that are built",
            remedy="Write kab bisect git:TREE@OLD..NEW.",
        )
    return package_range(lab, ends, flavour=wanted.flavour, suites=wanted.suites, every=wanted.every)


def _counter(lab: "Lab", plan: BisectionPlan) -> Callable[[BisectionPlan, FoundEdge, int], str] | None:
    """How an edge's change is undone at the far end; None for packages, which nobody can take a commit out of."""
    if not plan.built:
        return None
    return config_counter(lab) if plan.rungs[-1].commit is None else git_counter


def _ends_of(request: Request) -> tuple[str, ...]:
    """The ends that an experiment file names as baseline and candidate."""
    if request.baseline is None or request.candidate is None:
        raise ConfigError(
            "no ladder is named",
            remedy="Write `kab bisect FROM TO`, or --ladder 'debian:6.12.*', or name both kernels in the "
            "experiment file; --resume continues the newest unfinished search.",
        )
    return request.baseline, request.candidate


def _says_anything(wanted: SearchRequest) -> bool:
    """Whether a search is described at all, besides by what may change while it goes on."""
    request = replace(wanted.experiment, max_boots=None, accelerator=None, connect=None, json=None, html=None)
    return replace(wanted, experiment=request, resume=False, tree=None) != SearchRequest()


def _to_resume(lab: "Lab") -> tuple[Run, BisectionPlan]:
    found = lab.store.bisections.newest(unfinished=True)
    if found is None:
        raise ConfigError(
            "there is no unfinished search to resume", remedy="`kab runs` lists what there is; drop --resume."
        )
    plan = lab.store.bisections.plan(found)
    assert plan is not None, "it is a bisection"
    return lab.store.run(found), plan


def _refuse_another(stored: tuple[Run, BisectionPlan], experiment: Experiment, plan: BisectionPlan) -> None:
    """Raise ConfigError, with what differs, where the command line asks for another search than the stored one."""
    run, before = stored
    then, now = _options(run.experiment, before), _options(experiment, plan)
    differences = [
        f"{name} {value or _NOT_GIVEN} (now {now[name] or _NOT_GIVEN})"
        for name, value in then.items()
        if value != now[name]
    ]
    # What no option names: the text of a workload, the kernels inside a ladder.
    differences = differences or [
        *_differences(_plain(run.experiment), _plain(experiment), ""),
        *_differences(to_plain(before), to_plain(plan), ""),
    ]
    if differences:
        raise _differs(run.id, differences)


def _plain(experiment: Experiment) -> Any:
    """What an experiment is, wherever its workload's file lies."""
    return to_plain(replace(experiment, workload=replace(experiment.workload, file="")))


def _options(experiment: Experiment, plan: BisectionPlan) -> dict[str, str]:
    """A search in the words of the command line, so that two can be told apart in them."""
    texts = texts_of(experiment)
    # Of a search, its cap may be raised, and its proofs have their own.
    del texts["--max-boots"]
    return {
        "FROM": plan.rungs[0].spec,
        "TO": plan.rungs[-1].spec,
        "the ladder": f"{len(plan.rungs)} kernels",
        **texts,
        "--edges": str(plan.edges),
        "--confidence": fraction_text(plan.confidence),
        "--crash-is-slow": "given" if plan.crash_is_slow else "",
        "--build-fix": " ".join(plan.build_fixes),
    }


def _differs(run_id: str, differences: list[str]) -> ConfigError:
    shown = differences[:6] + ([f"and {len(differences) - 6} more"] if len(differences) > 6 else [])
    return ConfigError(
        f"search {run_id}, the newest unfinished one, was begun with {'; '.join(shown)}",
        remedy="`kab bisect --resume` alone continues it; without --resume this command is a search of its own.",
    )


def _differences(stored: Any, asked: Any, where: str) -> list[str]:
    return list(_walk(stored, asked, where))


def _walk(stored: Any, asked: Any, where: str) -> Iterator[str]:
    if isinstance(stored, Mapping) and isinstance(asked, Mapping):
        for key in dict.fromkeys((*stored, *asked)):
            yield from _walk(stored.get(key), asked.get(key), f"{where}.{key}" if where else str(key))
    elif isinstance(stored, list) and isinstance(asked, list) and len(stored) != len(asked):
        yield f"{where} of {len(stored)} entries (now {len(asked)})"
    elif isinstance(stored, list) and isinstance(asked, list):
        for index, (one, other) in enumerate(zip(stored, asked, strict=True)):
            yield from _walk(one, other, f"{where}[{index}]")
    elif stored != asked:
        yield f"{where} {stored} (now {asked})"
