"""``kab image``: the guests' root filesystem."""

import click

from harness.cli.display import ProgressMode, make_progress
from harness.cli.options import progress_option
from harness.model.guest import MIB


@click.group()
def image() -> None:
    """Build and list the guests' root images."""


@image.command()
@progress_option
def build(progress: str) -> None:
    """Build the image, unless the one of this recipe is there."""
    from harness.cli.lab import open_lab

    with make_progress(ProgressMode(progress)) as display, open_lab(display) as lab:
        built = lab.images.ensure(progress=display.note)
    click.echo(f"{built.name}  {built.size_bytes / MIB:.0f} MiB  {built.path}")


@image.command("list")
def list_images() -> None:
    """List the images in the cache."""
    from harness.cli.lab import open_lab

    with open_lab() as lab:
        for found in lab.images.all():
            mark = "current" if lab.images.is_current(found) else "old"
            click.echo(f"{found.name}  {found.size_bytes / MIB:.0f} MiB  {mark}  {found.path}")
