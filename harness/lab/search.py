"""Wiring of `kab bisect`: from options to a ladder, a request and its loop, and back from what is stored."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.config import Request, build_experiment, load_workloads
from harness.errors import ConfigError
from harness.interfaces import NullProgress
from harness.kbuild.ahead import BuildAhead
from harness.lab.bench import Session, check_job
from harness.lab.ranges import (
    BuildOptions,
    Line,
    config_counter,
    config_line,
    continued_line,
    git_counter,
    git_line,
    is_git_line,
    options_between,
    package_line,
    series_line,
)
from harness.lab.treesuspects import check_packages, tree_lister
from harness.model.bisection import BisectionOutcome, BisectionPlan, EdgeWish, FoundEdge
from harness.model.experiment import Experiment, Place, TrialSpec
from harness.model.kernel import Kernel
from harness.model.run import Run
from harness.model.trial import Stage
from harness.parse.diskspec import disk_text, filesystem_text
from harness.parse.plainjson import to_plain
from harness.parse.units import fraction_text, parse_fraction
from harness.render.jobidentity import job_condition
from harness.run.bisect import BisectLoop, BisectRequest

DEFAULT_MAX_BOOTS = 80
_LEAST_CONFIDENCE = 0.5
_NOT_GIVEN = "not given"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says of a search besides its experiment."""

    # FROM and TO, or nothing.
    ends: tuple[str, ...] = ()
    ladder: str | None = None
    flavour: str | None = None
    suites: tuple[str, ...] = ()
    every: bool = False
    edges: str = "auto"
    confidence: str | None = None
    crash_is_slow: bool = False
    resume: bool = False
    fresh: bool = False
    # Of kernels that are built.
    build: BuildOptions = field(default_factory=BuildOptions)
    build_fixes: tuple[str, ...] = ()
    series: str | None = None
    series_version: str | None = None
    config_diff: tuple[Path, Path] | None = None
    from_run: str | None = None
    # A clone of Linux, for suspects.
    tree: Path | None = None


def search(
    session: Session, request: Request, asked: Asked, *, destroy_data: str, command: tuple[str, ...]
) -> tuple[Run, BisectionOutcome]:
    """Make or continue the search, to its end."""
    tree = tree_lister(session, asked.tree)
    stored = _to_resume(session) if asked.resume else None
    if stored is not None and not _says_anything(request, asked):
        run, plan = stored
        experiment, command = run.experiment, run.command
    else:
        experiment, plan = _planned(session, request, asked, stored[1] if stored else None)
        if stored is not None:
            _refuse_another(stored, experiment, plan)
    check_job(experiment.workload)
    check_packages(plan, asked.tree)
    first, last = session.resolve(plan.rungs[0].spec), session.resolve(plan.rungs[-1].spec)
    accelerator = request.accelerator or (stored[0].conditions.get("accelerator") if stored else None)
    with session.bench(
        first, accelerator=accelerator, connect=request.connect, destroy_data=destroy_data, experiment=experiment
    ) as bench:
        wanted = BisectRequest(
            experiment=experiment,
            plan=plan,
            first=first,
            last=last,
            conditions={**session.conditions(bench), **job_condition(experiment.workload)},
            host=bench.host,
            command=command,
            max_boots=request.max_boots or DEFAULT_MAX_BOOTS,
            fresh=asked.fresh,
        )
        if stored is not None and wanted.digest != stored[0].digest:
            raise _differs(stored[0].id, _differences(stored[0].conditions, wanted.conditions, "host"))
        with BuildAhead() as ahead:

            def resolve(spec: str) -> Kernel:
                ahead.make_way(spec)
                return session.resolve(spec)

            watched = replace(bench, progress=_Watched(session.progress, ahead)) if plan.built else bench
            loop = BisectLoop(
                ab=session.ab_loop(watched),
                bisections=session.store.bisections,
                resolve=resolve,
                changes=session.kernels.changes,
                tree=tree,
                counter=_counter(session, plan),
                effect=options_between,
                ahead=ahead.want if plan.built else None,
            )
            return loop.execute(wanted)


class _Watched(NullProgress):
    """A display that lets builds stand still while a guest measures."""

    def __init__(self, shown: NullProgress, ahead: BuildAhead) -> None:
        self._shown = shown
        self._ahead = ahead

    def stage(self, spec: TrialSpec[Place], stage: Stage, detail: str = "") -> None:
        """Of all that a trial tells, this is what a bench tells."""
        if stage in {Stage.WARMUP, Stage.MEASURE}:
            self._ahead.hold()
        else:
            self._ahead.release()
        self._shown.stage(spec, stage, detail)


def _planned(
    session: Session, request: Request, asked: Asked, stored: BisectionPlan | None = None
) -> tuple[Experiment, BisectionPlan]:
    """The experiment and the ladder, that of `stored` where none is named.

    The experiment is checked before any list is fetched. Raises ConfigError.
    """
    ends = (asked.ladder,) if asked.ladder else asked.ends
    if not ends and (stored is None or request.baseline is not None):
        ends = _ends_of(request)
    # Its cap is that of a proof; --max-boots is that of the search.
    experiment = build_experiment(replace(request, baseline="-", candidate="-", max_boots=None), load_workloads())
    confidence = 0.99 if asked.confidence is None else parse_fraction(asked.confidence)
    if not _LEAST_CONFIDENCE < confidence < 1:
        raise ConfigError(f"--confidence {asked.confidence}: it must lie between 50% and 100%")
    if stored is None or ends:
        line = _line(session, ends, asked)
    else:
        line = Line(rungs=stored.rungs, build_fixes=stored.build_fixes)
    if len(line.rungs) == 2:
        session.progress.note("nothing lies between the two ends: `kab ab` would do")
    plan = BisectionPlan(
        rungs=line.rungs,
        edges=EdgeWish(asked.edges),
        confidence=confidence,
        crash_is_slow=asked.crash_is_slow,
        build_fixes=line.build_fixes,
    )
    return replace(experiment, baseline=line.rungs[0].spec, candidate=line.rungs[-1].spec), plan


def _line(session: Session, ends: tuple[str, ...], asked: Asked) -> Line:
    """The kernels to search. Raises ConfigError, HostError, DoesNotApplyError (a patch of a series)."""
    if asked.series_version is not None and asked.series is None:
        raise ConfigError("--series-version is of a series", remedy="Name it with --series, or leave the option out.")
    if asked.series is not None:
        if len(ends) != 1:
            raise ConfigError(
                "a patch series goes on top of one revision", remedy="Write kab bisect --series DIR git:TREE@REV."
            )
        return series_line(session, asked.series, ends[0], asked.build, asked.build_fixes, version=asked.series_version)
    if asked.config_diff is not None:
        if len(ends) != 1:
            raise ConfigError(
                "configurations are compared on one revision",
                remedy="Write kab bisect --config-diff GOOD BAD git:TREE@REV.",
            )
        return config_line(session, *asked.config_diff, ends[0], asked.build)
    if asked.from_run is not None:
        run = session.store.run(asked.from_run)
        return continued_line(session, run, ends[0], ends[1:], asked.build, asked.build_fixes)
    if is_git_line(ends):
        return git_line(session, ends, asked.build, asked.build_fixes)
    if asked.build != BuildOptions() or asked.build_fixes:
        raise ConfigError(
            "--config, --fragment, --cc, --builder and --build-fix are for kernels that are built",
            remedy="Write kab bisect git:TREE@OLD..NEW.",
        )
    return package_line(session, ends, flavour=asked.flavour, suites=asked.suites, every=asked.every)


def _counter(session: Session, plan: BisectionPlan) -> Callable[[BisectionPlan, FoundEdge, int], str] | None:
    """How an edge's change is undone at the far end; None for packages, which nobody can take a commit out of."""
    if not plan.built:
        return None
    return config_counter(session) if plan.rungs[-1].commit is None else git_counter


def _ends_of(request: Request) -> tuple[str, ...]:
    """The ends that an experiment file names as baseline and candidate."""
    if request.baseline is None or request.candidate is None:
        raise ConfigError(
            "no ladder is named",
            remedy="Write `kab bisect FROM TO`, or --ladder 'debian:6.12.*', or name both kernels in the "
            "experiment file; --resume continues the newest unfinished search.",
        )
    return request.baseline, request.candidate


def _says_anything(request: Request, asked: Asked) -> bool:
    plain = replace(request, max_boots=None, accelerator=None, connect=None, json=None, html=None)
    return plain != Request() or replace(asked, resume=False, tree=None) != Asked()


def _to_resume(session: Session) -> tuple[Run, BisectionPlan]:
    found = session.store.bisections.newest(unfinished=True)
    if found is None:
        raise ConfigError(
            "there is no unfinished search to resume", remedy="`kab runs` lists what there is; drop --resume."
        )
    plan = session.store.bisections.plan(found)
    assert plan is not None, "it is a bisection"
    return session.store.run(found), plan


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
        *_differences(to_plain(run.experiment), to_plain(experiment), ""),
        *_differences(to_plain(before), to_plain(plan), ""),
    ]
    if differences:
        raise _differs(run.id, differences)


def _options(experiment: Experiment, plan: BisectionPlan) -> dict[str, str]:
    """A search in the words of the command line, so that two can be told apart in them."""
    guest, workload = experiment.guest, experiment.workload
    return {
        "FROM": plan.rungs[0].spec,
        "TO": plan.rungs[-1].spec,
        "the ladder": f"{len(plan.rungs)} kernels",
        "--workload": workload.name,
        "--set": " ".join(f"{key}={value}" for key, value in sorted(workload.parameters.items())),
        "--disk": disk_text(experiment.disk),
        "--fs": filesystem_text(experiment.filesystem),
        "--vcpus": str(guest.vcpus),
        "--memory": f"{guest.memory_mib}MiB",
        "--cmdline": " ".join(guest.cmdline),
        "--cpu-model": guest.cpu_model,
        "--metric": experiment.metric,
        "--margin": fraction_text(experiment.margin),
        "--error": fraction_text(experiment.error),
        "--seed": "" if experiment.seed is None else str(experiment.seed),
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
