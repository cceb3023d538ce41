"""``kab build``: a kernel from a revision of a git history."""

import time

import click

from harness.cli.display import ProgressMode, make_progress
from harness.cli.options import build_options, progress_option
from harness.model.guest import MIB
from harness.parse.foreign import printable

EPILOG = """\b
Exit status: 0 built, 125 it does not build (the first error is shown), 129 wrong usage or a configuration that
  cannot be met, 131 the host's trouble (no compiler, no space).

\b
Examples:
  kab build git:~/linux@v7.1
  kab build git:~/linux@HEAD --fragment lockdep.config
  kab build git:~/linux@abc123+revert=def456 --cc clang
"""


@click.command(epilog=EPILOG)
@click.argument("spec")
@build_options
@progress_option
def build(
    spec: str, config: str | None, fragments: tuple[str, ...], compiler: str | None, builder: str | None, progress: str
) -> None:
    """Build the kernel SPEC (git:TREE@REVISION) and keep it in the cache.

    Your work tree is not touched. The first build of a tree takes minutes; later ones make what changed.
    """
    from harness.cli.lab import open_lab
    from harness.lab.ranges import BuildOptions

    options = BuildOptions(config=config, fragments=fragments, compiler=compiler, builder=builder)
    since = time.monotonic()
    with make_progress(ProgressMode(progress)) as display, open_lab(display) as lab:
        kernel = lab.build(spec, options)
    taken_s = time.monotonic() - since
    click.echo(printable(f"{kernel.name}  {kernel.provenance.get('title', '')}"))
    facts = {
        "spec": kernel.spec,
        "release": kernel.release,
        "image": f"{kernel.vmlinuz} ({kernel.vmlinuz.stat().st_size / MIB:.1f} MiB)",
        "digest": kernel.digest,
        "compiler": kernel.provenance.get("compiler", ""),
        "took": f"{taken_s:.1f} s",
    }
    for name, value in facts.items():
        if value:
            click.echo(f"  {name:<8}  {printable(value)}")
