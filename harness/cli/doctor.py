"""``kab doctor``: can kab work here, and how well?"""

import click
from rich.console import Console
from rich.text import Text

from harness.errors import ExitCode

_MARK = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


@click.command()
def doctor() -> int:
    """Look at everything on this host that decides whether kab works, and how well; say what to do about it.

    Exit status 0, or 131 when something must be mended first.
    """
    from harness.cli.lab import open_lab
    from harness.model.check import CheckStatus

    with open_lab() as lab:
        checks = lab.examine()
    console = Console(highlight=False)
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark, style = _MARK[check.status]
        console.print(Text.assemble((f"{mark:<5}", style), f"{check.name:<{width}}  {check.detail}"), soft_wrap=True)
        if check.remedy:
            console.print(Text(f"{'':<{width + 7}}-> {check.remedy}"), soft_wrap=True)
    failed = [check.name for check in checks if check.status is CheckStatus.FAIL]
    if failed:
        console.print(f"\nTo be mended before kab can work here: {', '.join(failed)}.")
        return ExitCode.HOST
    console.print("\nkab can work here.")
    return ExitCode.GOOD
