"""``kab bisect``: where on a ladder of kernels it broke, and where it came back."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.display import ProgressMode, make_progress
from harness.cli.options import build_options, experiment_options, progress_option, tree_option
from harness.model.bisection import EdgeWish
from harness.model.guest import MIB

if TYPE_CHECKING:
    from harness.lab.searchrequest import SearchRequest

EPILOG = """\b
On a search that is running or done; RUN is the beginning of its id, else the newest:
  kab bisect status [RUN]           the strip, and what comes next
  kab bisect log [RUN]              every boot, as text that replay reads
  kab bisect replay FILE            the same search again from a log, without a boot
  kab bisect skip SPEC [--undo]     take a kernel out of the newest unfinished search
  kab bisect report [RUN]           the report again

\b
Examples:
  kab bisect debian:6.1 debian:7.3
  kab bisect git:~/linux@v6.7..v7.2 -- fs/btrfs
  kab bisect --series patches/ git:~/linux@v7.1
  kab bisect --ladder 'debian:6.12.*' --metric dirtied_per_page -f btrfs-dio
  kab bisect debian:6.1 debian:7.3 --edges removed --confidence 95% --max-boots 40
  kab bisect --resume

\b
Exit status: 0 the search reached its answer (edges found and proven, or nothing to find),
  125 it could not tell (cap reached, not proven, an end cannot be measured), 129 wrong usage, 131 the host's trouble.
"""


class _DefaultRun(click.Group):
    """``kab bisect FROM TO`` is ``kab bisect run FROM TO``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before words that begin with no verb."""
        if not args or args[0] not in self.commands:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_DefaultRun)
def bisect() -> None:
    """Find where on a ladder of kernels the fast path was lost, and where it came back."""


@bisect.command(epilog=EPILOG)
@click.argument("ends", metavar="FROM TO | git:TREE@OLD..NEW [-- PATH...]", nargs=-1)
@click.option("--ladder", metavar="GLOB", help="Instead of FROM and TO: all kernels of a pattern, 'debian:6.12.*'.")
@click.option("--flavour", help="`cloud-amd64`, `arm64`, ... [that of the ends, else the cloud flavour].")
@click.option("--suite", "suites", multiple=True, help="Only kernels of this suite (may be given again).")
@click.option("--every", is_flag=True, help="All packages of an upstream version, not only the newest.")
@click.option(
    "--edges",
    type=click.Choice([wish.value for wish in EdgeWish]),
    default="auto",
    show_default=True,
    help="Which edges to find; auto: as the ends say.",
)
@click.option("--confidence", metavar="PERCENT", help="How sure the search must be before it goes to proofs [99%].")
@click.option("--crash-is-slow", is_flag=True, help="A kernel that fails is slow, instead of being skipped.")
@build_options
@click.option(
    "--build-fix", "build_fixes", metavar="REV", multiple=True, help="Apply this commit where one does not build."
)
@click.option(
    "--series", metavar="PATCHES", help="A patch series (folder, quilt, mailbox, Message-ID) on top of git:TREE@REV."
)
@click.option("--series-version", metavar="N", help="Of a mailbox with several versions, that of [PATCH vN] [newest].")
@click.option(
    "--config-diff",
    nargs=2,
    metavar="GOOD BAD",
    help="From one .config to another on git:TREE@REV: which option matters?",
)
@tree_option
@click.option("--from-run", metavar="RUN", help="Go on in git:TREE where a search over packages ended.")
@click.option("--resume", is_flag=True, help="Continue the newest unfinished search, and no other.")
@click.option(
    "-f", "--file", "file", metavar="FILE|NAME", help="Experiment file, or one of kab's; options override it."
)
@experiment_options
@click.option("--html", metavar="FILE", help="Write the report as one HTML file.")
@click.option("--json", metavar="FILE", help="Write the whole search as JSON (`-`: stdout).")
@click.option("--mail", metavar="FILE", help="Write a mail for the kernel's lists (`-`: stdout).")
@click.option("--new", "fresh", is_flag=True, help="Start anew where an unfinished search could be continued.")
@progress_option
def run(ends: tuple[str, ...], file: str | None, progress: str, **options: Any) -> int:
    """Search the ladder of kernels from FROM to TO for the edges where a workload's speed changes.

    Both ends are compared first, then kernels are booted where they tell most, then each edge's neighbours are
    compared boot by boot. The same command, given again, continues where it stopped. --max-boots counts the boots of
    ends and search [80]; each proof has up to 40 of its own.
    """
    from harness.cli.lab import open_lab
    from harness.cli.reports import Reports, tell

    destroy_data, mail = options.pop("destroy_data"), options.pop("mail")
    wanted = search_request(ends, file, options)
    asked = wanted.experiment
    reports = Reports(html=asked.html, json=asked.json, mail=Path(mail) if mail else None)
    reports.check()
    with make_progress(ProgressMode(progress)) as display, open_lab(display) as lab:
        found, outcome = lab.search(wanted, destroy_data=destroy_data, command=("kab", *sys.argv[1:]))
    tell(lab.report_search(found.id, outcome=outcome), reports)
    return outcome.answer.exit_code


def search_request(ends: tuple[str, ...], file: str | None, options: dict[str, Any]) -> "SearchRequest":
    """What the words of a search ask for. Raises UsageError, ConfigError."""
    from harness.config import find_experiment, load_experiment, request_from_options
    from harness.lab.ranges import BuildOptions
    from harness.lab.searchrequest import SearchRequest

    said = {name: options.pop(name) for name in _OF_SEARCH}
    configs = said.pop("config_diff")
    build = BuildOptions(**{name: options.pop(name) for name in ("config", "fragments", "compiler", "builder")})
    if said["ladder"] and ends:
        raise click.UsageError("give FROM and TO, or --ladder, not both")
    request = request_from_options(options)
    if file is not None:
        request = request.over(load_experiment(find_experiment(file)))
    return SearchRequest(
        experiment=request,
        ends=ends,
        edges=EdgeWish(said.pop("edges")),
        build=build,
        config_diff=(Path(configs[0]), Path(configs[1])) if configs else None,
        **said,
    )


# Of a search's log; one of hundreds of boots has a few hundred KiB.
_LOG_BYTES = 64 * MIB
_OF_SEARCH = (
    "config_diff",
    "series",
    "ladder",
    "flavour",
    "suites",
    "every",
    "edges",
    "confidence",
    "crash_is_slow",
    "resume",
    "series_version",
    "fresh",
    "build_fixes",
    "from_run",
    "tree",
)


@bisect.command()
@click.argument("run", required=False)
def status(run: str | None) -> None:
    """Show the strip of a search, and what comes next."""
    from harness.cli.lab import open_lab
    from harness.cli.strip import edges_sentence, next_sentence, strip_line

    with open_lab() as lab:
        search = lab.stored_search(run)
        view, outcome = search.view(), search.outcome
    click.echo(f"{search.run.id}  {outcome.answer if outcome else 'unfinished'}  {view.boots} boots")
    click.echo(strip_line(view))
    click.echo(edges_sentence(view))
    if outcome is None:
        click.echo(next_sentence(view))


@bisect.command()
@click.argument("run", required=False)
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write it as one HTML file.")
@click.option("--json", type=click.Path(path_type=Path), metavar="FILE", help="Write it as JSON (`-`: stdout).")
@click.option(
    "--mail", type=click.Path(path_type=Path), metavar="FILE", help="Write a mail for the list (`-`: stdout)."
)
@tree_option
def report(run: str | None, html: Path | None, json: Path | None, mail: Path | None, tree: Path | None) -> int:
    """Report on a search again, from what is stored. The exit status is its answer's."""
    from harness.cli.lab import open_lab
    from harness.cli.reports import Reports, tell

    reports = Reports(html=html, json=json, mail=mail)
    reports.check()
    with open_lab() as lab:
        told = lab.report_search(run, tree=tree)
        tell(told, reports)
    return told.exit_code


@bisect.command()
@click.argument("run", required=False)
@click.option("--git", is_flag=True, help="Instead, what `git bisect replay` reads: the edges between commits.")
def log(run: str | None, git: bool) -> None:
    """Print every boot of a search, with what it was made for, as text that `replay` reads."""
    from harness.cli.lab import open_lab

    with open_lab() as lab:
        search = lab.stored_search(run)
    click.echo(search.git_log() if git else search.log(), nl=False)


@bisect.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
def replay(file: Path) -> None:
    """Make the search of a log FILE again, without a boot: every step, and what is believed at its end."""
    from harness.cli.strip import edges_sentence, next_sentence, strip_line
    from harness.config.textfile import read_text_file
    from harness.errors import ConfigError
    from harness.lab.searches import replay as replayed

    if file == Path("-"):
        try:
            text = sys.stdin.read()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read stdin: {error}") from error
    else:
        text = read_text_file(file, most_bytes=_LOG_BYTES)
    view = None
    for view in replayed(text):
        click.echo(f"{view.boots:>4}  {strip_line(view)}  {next_sentence(view)}")
    if view is not None:
        click.echo(edges_sentence(view))


@bisect.command()
@click.argument("spec")
@click.option("--undo", is_flag=True, help="Put it back.")
@click.option("--reason", default="by hand", show_default=True, help="Why, for the report.")
def skip(spec: str, undo: bool, reason: str) -> None:
    """Take the kernel SPEC (or its rung's number) out of the newest unfinished search; it may be running."""
    from harness.cli.lab import open_lab

    with open_lab() as lab:
        search, release = lab.skip(spec, undo=undo, reason=reason)
    click.echo(f"{release} is {'back in' if undo else 'out of'} search {search.id}", err=True)
