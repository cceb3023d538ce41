"""``kab gate``: whether a candidate is worse than allowed in any cell of a matrix, with one error for all."""

from pathlib import Path
from typing import Any

import click

from harness.cli.matrix import POLICY_OPTIONS, matrix_options, measure

EPILOG = """\b
Examples:
  kab gate ./gate.yaml --baseline debian:6.12 --candidate deb:./linux-image-new.deb
  kab gate ./gate.yaml --max-time 4h --html gate.html --json gate.json
  kab gate ./gate.yaml --only fs=btrfs --waivers waivers.yaml
  kab report last --waivers waivers.yaml                   # the same boots, judged anew

\b
Exit status: 0 not worse in any cell, or a waiver bears with it; 1 worse than allowed, or the candidate fails;
  else 131 or 129 for cells that could not be measured; else 125 for cells that cannot be told within the budget.
"""


@click.command(epilog=EPILOG)
@matrix_options(*POLICY_OPTIONS)
def gate(
    file: str,
    waivers: Path | None,
    error: str | None,
    miss: str | None,
    max_boots: str | None,
    max_time: str | None,
    **options: Any,
) -> int:
    """Boot the cells of the matrix FILE until it is known of each whether the candidate is worse than allowed.

    Clear cells end early, and each next block goes to the cell where it decides most. A candidate that crashes,
    corrupts data or warns where the baseline does not fails whatever its speed. What the budget leaves open is
    inconclusive. The same command, given again, continues a gate that was interrupted.
    """
    policy = {"error": error, "miss": miss, "max_boots": max_boots, "max_time": max_time}
    return measure("gate", file, options, waivers=waivers, policy=policy)
