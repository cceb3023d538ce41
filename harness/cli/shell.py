"""``kab shell``: boot a kernel as a trial would, and give me a shell."""

from typing import Any

import click

from harness.cli.display import ProgressMode, make_progress
from harness.cli.options import guest_options

EPILOG = """\b
Examples:
  kab shell debian:7.2
  kab shell debian:6.12 --disk virtio-blk,backend=file,size=2GiB --fs ext4
  kab shell debian:6.1 -- uname -r
"""


@click.command(epilog=EPILOG)
@click.argument("spec")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@guest_options
def shell(spec: str, command: tuple[str, ...], **options: Any) -> int:
    """Boot the kernel SPEC with the test disk attached, and open a shell in the guest, or run COMMAND there.

    The exit status is the command's (1 where that would be one of kab's own). The guest is gone afterwards.
    """
    from harness.cli.guestshell import run_shell
    from harness.cli.lab import open_lab
    from harness.config import request_from_options

    destroy_data = options.pop("destroy_data")
    request = request_from_options(options)
    with make_progress(ProgressMode.LINES) as display, open_lab(display) as lab:
        return run_shell(lab, spec, request, command, destroy_data=destroy_data)
