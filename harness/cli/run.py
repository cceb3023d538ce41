"""``kab run``: every cell of a matrix, each a comparison of its own."""

from typing import Any

import click

from harness.cli.matrix import matrix_options, measure

EPILOG = """\b
Examples:
  kab plan ./nightly.yaml                                  # cells, boots and time, before anything boots
  kab run ./nightly.yaml
  kab run ./nightly.yaml --only 'workload=shared-dio*' --only fs=btrfs
  kab run ./nightly.yaml --shard 2/5 --json part2.json     # the second of five hosts
  kab run ./nightly.yaml --baseline debian:6.12 --candidate deb:./linux-image-new.deb

\b
Exit status: 1 a cell is slower or its candidate fails, else 131 or 129 for cells that could not be measured, else 125
  where one cannot be told, else 0. 131 with a run that stays open: the host is gone, the same command continues.
"""


@click.command(epilog=EPILOG)
@matrix_options()
def run(file: str, **options: Any) -> int:
    """Measure all cells of the matrix FILE, one after the other, each as `kab ab` would.

    A cell that fails stops no other one. The same command, given again, continues a run that was interrupted; one that
    is finished is measured anew. An experiment file is a matrix of one cell.
    """
    return measure("run", file, options)
