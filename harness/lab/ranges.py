"""The range of kernels that a search runs over: packages of a ladder, commits of a history, or configurations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import ConfigError
from harness.git.releases import find_release, stand_in_note
from harness.git.repository import Repository
from harness.history.lineage import linearise
from harness.kbuild.configdiff import counter_spec, effect_at, keep_config, plan_config_line
from harness.kbuild.configfile import read_config
from harness.lab.workspace import Workspace
from harness.model.bisection import BisectionPlan, EdgeKind, FoundEdge, PlannedRung
from harness.model.kconfig import OptionEffect
from harness.model.kernel import Kernel
from harness.model.run import Run
from harness.model.source import LOCALMOD, MICRO, BuildSettings, Commit, GitSpec, Operation, OperationKind
from harness.parse.gitspec import FORM, git_text, is_git_range, parse_git, parse_git_range, with_operation
from harness.parse.series import parse_version
from harness.userpath import user_path


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What the command line says of building; None and empty is what it does not say."""

    config: str | None = None
    fragments: tuple[str, ...] = ()
    compiler: str | None = None
    builder: str | None = None

    def over(self, settings: BuildSettings) -> BuildSettings:
        """The settings of a spec with what the command line says instead; its fragments come after the spec's."""
        return BuildSettings(
            config=self.config or settings.config,
            fragments=(*settings.fragments, *(_absolute(name) for name in self.fragments)),
            compiler=self.compiler or settings.compiler,
            builder=_absolute(self.builder) if self.builder else settings.builder,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRange:
    """What is searched, in order."""

    rungs: tuple[PlannedRung, ...]
    # Full hashes of the user's build fixes.
    build_fixes: tuple[str, ...] = ()


def built_spec(spec: str, options: BuildOptions) -> str:
    """A ``git:TREE@REVISION`` with the options that it does not have itself. Raises ConfigError."""
    if not spec.startswith("git:"):
        raise ConfigError(f"`{spec}` is nothing that can be built", remedy=f"Write {FORM}.")
    parsed = parse_git(spec, spec.removeprefix("git:"))
    return git_text(replace(parsed, build=options.over(parsed.build)))


def package_range(
    workspace: Workspace, ends: Sequence[str], *, flavour: str | None, suites: Sequence[str], every: bool
) -> KernelRange:
    """A ladder of Debian's kernels. Raises as KernelLibrary.ladder."""
    ladder = workspace.kernels.ladder(ends, flavour=flavour, suites=suites, every=every)
    return KernelRange(
        rungs=tuple(
            PlannedRung(
                spec=rung.spec, release=rung.kernel.release, version=rung.kernel.version, suites=rung.kernel.suites
            )
            for rung in ladder.rungs
        )
    )


def means_history(ends: Sequence[str]) -> bool:
    """Whether the words after `kab bisect` mean a git history: a range (and paths), or two revisions."""
    return bool(ends) and (is_git_range(ends[0]) or (len(ends) > 1 and all(end.startswith("git:") for end in ends[:2])))


def git_range(
    workspace: Workspace, ends: Sequence[str], options: BuildOptions, build_fixes: Sequence[str]
) -> KernelRange:
    """The history between two revisions, limited to paths where they are given. Raises ConfigError, HostError."""
    if is_git_range(ends[0]):
        spec, newer = parse_git_range(ends[0])
        paths = ends[1:]
    else:
        spec, other = (parse_git(end, end.removeprefix("git:")) for end in ends[:2])
        newer, paths = other.revision, ends[2:]
        if (other.tree, other.build) != (spec.tree, spec.build) or spec.operations or other.operations:
            raise ConfigError(
                "both ends of a history must be plain revisions of one tree, built alike",
                remedy="Write git:TREE@OLD..NEW.",
            )
    repository = open_repository(workspace, spec.tree)
    first, last = repository.resolve(spec.revision), repository.resolve(newer)
    commits = repository.commits(first, last)
    touching = repository.touching(first, last, paths) if paths else None
    base = _base(workspace, spec, options)
    places = linearise(commits, repository.commit(first), touching)
    rungs = []
    for place in places:
        operations = tuple(Operation(kind=OperationKind.MERGE, revision=sha) for sha in place.merged)
        parent = place.commit.parents[:1] if paths else ()
        rungs.append(
            _rung(
                replace(base, revision=place.revision, operations=operations),
                place.commit,
                weight=place.weight,
                parent=git_text(replace(base, revision=parent[0])) if parent and not operations else "",
            )
        )
    return KernelRange(rungs=tuple(rungs), build_fixes=_resolved(repository, build_fixes))


def series_range(
    workspace: Workspace,
    series: str | Path,
    base: str,
    options: BuildOptions,
    build_fixes: Sequence[str],
    *,
    version: str | None = None,
) -> KernelRange:
    """A patch series, of its newest version or of `version`, on top of a revision.

    Raises ConfigError, HostError, DoesNotApplyError.
    """
    wanted = parse_version(version) if version is not None else None
    spec = parse_git(base, base.removeprefix("git:"))
    repository = open_repository(workspace, spec.tree)
    first = repository.derive(repository.resolve(spec.revision), spec.operations)
    shas = repository.add_series(first, series, version=wanted, say=workspace.progress.note)
    settled = replace(_base(workspace, spec, options), operations=())
    return KernelRange(
        rungs=tuple(
            _rung(replace(settled, revision=sha), repository.commit(sha), weight=1.0) for sha in (first, *shas)
        ),
        build_fixes=_resolved(repository, build_fixes),
    )


def config_range(workspace: Workspace, good: Path, bad: Path, revision: str, options: BuildOptions) -> KernelRange:
    """From one configuration of a revision to another, option by option. Raises ConfigError, HostError."""
    spec = parse_git(revision, revision.removeprefix("git:"))
    if options.config is not None:
        raise ConfigError("--config and --config-diff exclude one another", remedy="Leave --config out.")
    repository = open_repository(workspace, spec.tree)
    base = replace(_base(workspace, spec, options), revision=repository.resolve(spec.revision))
    resolve = workspace.kernels.resolved_configs
    return KernelRange(rungs=plan_config_line(good, bad, base, folder=workspace.paths.configs, resolve=resolve))


def continued_range(
    workspace: Workspace, run: Run, tree: str, paths: Sequence[str], options: BuildOptions, build_fixes: Sequence[str]
) -> KernelRange:
    """The history behind the edges that a search over packages found.

    Stable releases lie on branches of their own: the range begins where the first edge's older version and the last
    edge's newer one have parted. Raises ConfigError, HostError.
    """
    plan, outcome = workspace.store.bisections.plan(run.id), workspace.store.bisections.outcome(run.id)
    if plan is None or plan.built or outcome is None or not outcome.edges:
        raise ConfigError(
            f"run {run.id} is no finished search over packages that found an edge",
            remedy="`kab bisect status` shows the searches; name one that ended with edges.",
        )
    spec, _ = parse_git_range(f"{tree}@old..new")
    repository = open_repository(workspace, spec.tree)
    older, newer = (
        find_release(repository, plan.rungs[rung].version)
        for rung in (outcome.edges[0].before, outcome.edges[-1].after)
    )
    for release in (older, newer):
        if release.wanted:
            workspace.progress.note(stand_in_note(repository, release))
    base = repository.fork(older.sha, newer.sha)
    workspace.progress.note(f"the edges of {run.id} lie in {spec.tree} between {base[:12]} and {newer.tag}")
    return git_range(workspace, (f"{tree}@{base}..{newer.sha}", *paths), options, build_fixes)


def open_repository(workspace: Workspace, tree: Path) -> Repository:
    """The user's repository, with a word about what is not part of it. Raises ConfigError, HostError."""
    repository = Repository.open(tree, workspace.paths.git)
    if repository.dirty():
        workspace.progress.note(f"{tree} has changes that are not committed: they are not part of any kernel here")
    return repository


def _base(workspace: Workspace, spec: GitSpec, options: BuildOptions) -> GitSpec:
    """The spec with nothing in it that depends on the folder that kab was called in, or on files that may change.

    Configurations and fragments are kept by their content: a search builds its last kernel as it built its first.
    """
    settings = options.over(spec.build)

    def kept(path: Path) -> Path:
        return keep_config(read_config(path), workspace.paths.configs)

    return replace(
        spec,
        tree=_absolute(spec.tree),
        build=replace(
            settings,
            config=settings.config if settings.config in {MICRO, LOCALMOD} else str(kept(Path(settings.config))),
            fragments=tuple(kept(path) for path in settings.fragments),
            builder=_absolute(settings.builder) if settings.builder else None,
        ),
    )


def _rung(spec: GitSpec, commit: Commit, *, weight: float, parent: str = "") -> PlannedRung:
    return PlannedRung(
        spec=git_text(spec),
        release=commit.short,
        version=commit.date[:10],
        commit=commit,
        title=commit.title,
        weight=weight,
        parent=parent,
    )


def _resolved(repository: Repository, revisions: Sequence[str]) -> tuple[str, ...]:
    return tuple(repository.resolve(revision) for revision in revisions)


def git_counter(plan: BisectionPlan, edge: FoundEdge, far: int) -> str:
    """The far kernel with the culprit reverted, or applied."""
    culprit = plan.rungs[edge.after].commit
    assert culprit is not None, "every rung of a history is a commit"
    kind = OperationKind.REVERT if edge.kind is EdgeKind.REMOVED else OperationKind.PICK
    return with_operation(plan.rungs[far].spec, kind, culprit.sha)


def config_counter(workspace: Workspace) -> Callable[[BisectionPlan, FoundEdge, int], str]:
    """How an option at an edge is set back, or set, in the far configuration."""

    def counter(plan: BisectionPlan, edge: FoundEdge, far: int) -> str:
        after, there = (_spec(plan.rungs[rung].spec) for rung in (edge.after, far))
        return git_text(counter_spec(after, there, folder=workspace.paths.configs))

    return counter


def options_between(older: Kernel, newer: Kernel) -> OptionEffect:
    """What the step between the kernels of two rungs did to their configurations. Raises ConfigError."""
    assert older.config is not None, "kernels that kab built have a configuration"
    assert newer.config is not None, "kernels that kab built have a configuration"
    return effect_at(_spec(newer.spec), (older.config, newer.config))


def _spec(text: str) -> GitSpec:
    return parse_git(text, text.removeprefix("git:"))


def _absolute(path: Path | str) -> Path:
    return user_path(path).absolute()
