"""``kab site``: what is stored of matrices, as pages that any web server or a browser alone can show."""

from pathlib import Path

import click

from harness.cli.report import MOST_RUNS


@click.command(epilog="\b\nExamples:\n  kab site public\n  kab site /srv/www/kab --matrix nightly --limit 365")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--matrix", "matrices", multiple=True, metavar="TITLE", help="Only matrices of this title; repeatable.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1, max=MOST_RUNS),
    default=100,
    show_default=True,
    help="How many runs of matrices, newest first; pages of older ones are removed.",
)
def site(folder: Path, matrices: tuple[str, ...], limit: int) -> None:
    """Write the stored matrices to DIR as a static site; again, it brings the site up to date.

    DIR is new or empty, or a site that kab made. Files in it that kab did not make are never touched.
    """
    from harness.cli.lab import open_lab
    from harness.parse.foreign import printable

    with open_lab() as lab:
        made = lab.site(folder, matrices=matrices, limit=limit)
    for message in made.damaged:
        click.echo(f"kab: {printable(message)}", err=True)
    for name in made.published.left:
        click.echo(f"kab: {printable(name)} was changed since kab made it, and is left there", err=True)
    done = made.published
    click.echo(f"{made.runs} runs and {made.cells} cells: {printable(str(made.overview))}")
    click.echo(f"{done.written} pages written, {done.unchanged} as they were, {done.removed} removed")
