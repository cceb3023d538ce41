"""What a search is asked for, and the command that asks for it."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.config import Request, consent_words, words_of
from harness.lab.ranges import BuildOptions, means_history
from harness.model.bisection import EdgeWish


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
