"""``kab clean``: give back what the cache holds and what killed processes left."""

import click

from harness.interfaces import NullProgress


@click.command(epilog="\b\nExamples:\n  kab clean --leaks\n  kab clean --cache-limit 5GiB")
@click.option("--leaks", is_flag=True, help="Only remove what killed processes of kab left behind.")
@click.option("--cache-limit", metavar="SIZE", help="Keep this much of kernels and builds [the setting, 20GiB].")
def clean(leaks: bool, cache_limit: str | None) -> None:
    """Remove guests, files and processes that a killed kab left, old images, and kernels and builds beyond the limit.

    Never removes results, nor what another kab uses now.
    """
    from harness.host.leases import reclaim
    from harness.host.paths import default_paths
    from harness.lab.lab import StoredSession
    from harness.parse.foreign import printable
    from harness.parse.units import parse_size

    limit_bytes = parse_size(cache_limit) if cache_limit else None
    # Before the session, which would do it silently.
    removed = reclaim(default_paths())
    for what in removed:
        click.echo(f"removed {printable(what)}")
    if leaks:
        if not removed:
            click.echo("nothing was left behind")
        return
    with StoredSession(NullProgress()) as session:
        limit_bytes = session.settings.cache_limit_bytes if limit_bytes is None else limit_bytes
        for kernel in session.kernels.prune(limit_bytes):
            click.echo(f"removed kernel {kernel.release}")
        for folder in session.kernels.prune_builds(limit_bytes):
            click.echo(f"removed build folder {folder}")
        for image in session.images.outdated():
            session.images.remove(image)
            click.echo(f"removed image {image.name}")
