"""``kab clean``: give back what the cache holds and what killed processes left."""

import click


@click.command(epilog="\b\nExamples:\n  kab clean --leaks\n  kab clean --cache-limit 5GiB")
@click.option("--leaks", is_flag=True, help="Only remove what killed processes of kab left behind.")
@click.option("--cache-limit", metavar="SIZE", help="Keep this much of kernels and builds [the setting, 20GiB].")
def clean(leaks: bool, cache_limit: str | None) -> None:
    """Remove guests, files and processes that a killed kab left, old images, and kernels and builds beyond the limit.

    Never removes results, nor what another kab uses now.
    """
    from harness.cli.lab import open_lab
    from harness.parse.foreign import printable
    from harness.parse.units import parse_size

    limit_bytes = parse_size(cache_limit) if cache_limit else None
    with open_lab() as lab:
        for what in lab.reclaimed:
            click.echo(f"removed {printable(what)}")
        if leaks:
            if not lab.reclaimed:
                click.echo("nothing was left behind")
            return
        limit_bytes = lab.settings.cache_limit_bytes if limit_bytes is None else limit_bytes
        for kernel in lab.kernels.prune(limit_bytes):
            click.echo(f"removed kernel {kernel.release}")
        for folder in lab.kernels.prune_builds(limit_bytes):
            click.echo(f"removed build folder {folder}")
        for image in lab.images.outdated():
            lab.images.remove(image)
            click.echo(f"removed image {image.name}")
